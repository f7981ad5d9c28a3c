//! Survey of what an entry would copy, before anything is copied.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Files and directories of one entry.
const MAX_FILES: u64 = 20_000;
/// Bytes of one entry.
const MAX_BYTES: u64 = 1 << 30;
/// Links that are named; more are counted.
const MAX_NAMED_LINKS: usize = 5;
/// Directories inside each other.
const MAX_DEPTH: usize = 64;

/// Things that were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) is_dir: bool,
    files: u64,
    bytes: u64,
    /// Links inside, which are not copied.
    links: Vec<PathBuf>,
    links_count: u64,
}

impl Survey {
    /// Looks at a file, or at a directory with all that is in it. The path itself may be a link.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is too much.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        let mut survey = Self {
            is_dir: meta.is_dir(),
            ..Self::default()
        };
        if !meta.is_dir() && !meta.is_file() {
            return Err(io::Error::other("it is neither a file nor a directory"));
        }
        survey.count(&meta)?;
        if meta.is_dir() {
            survey.inside(path, 0)?;
        }
        Ok(survey)
    }

    fn inside(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other("it is nested too deeply"));
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_symlink() {
                self.links_count += 1;
                if self.links.len() < MAX_NAMED_LINKS {
                    self.links.push(entry.path());
                }
                continue;
            }
            self.count(&meta)?;
            if meta.is_dir() {
                self.inside(&entry.path(), depth + 1)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, meta: &Metadata) -> io::Result<()> {
        self.files += 1;
        self.bytes += if meta.is_file() { meta.len() } else { 0 };
        if self.files > MAX_FILES || self.bytes > MAX_BYTES {
            let why = format!(
                "it has more than {MAX_FILES} files or {} MiB",
                MAX_BYTES >> 20
            );
            return Err(io::Error::other(why));
        }
        Ok(())
    }

    /// The links that are left out, in words.
    pub(super) fn skipped_links(&self) -> Option<String> {
        if self.links_count == 0 {
            return None;
        }
        let named: Vec<String> = self
            .links
            .iter()
            .map(|link| link.display().to_string())
            .collect();
        let more = self.links_count - self.links.len() as u64;
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!("skipped links: {}{more}", named.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_inside_are_named_and_the_top_may_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        fs::create_dir(&real).unwrap();
        fs::write(real.join("a"), "12345").unwrap();
        for number in 0..7 {
            std::os::unix::fs::symlink("/etc/passwd", real.join(format!("l{number}"))).unwrap();
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let survey = Survey::of(&link).unwrap();
        assert!(survey.is_dir);
        assert_eq!((survey.files, survey.bytes), (2, 5));
        let told = survey.skipped_links().unwrap();
        assert!(
            told.contains("/link/l") && told.ends_with("and 2 more"),
            "{told}"
        );
    }

    #[test]
    fn what_is_too_much_or_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let sparse = fs::File::create(folder.path().join("sparse")).unwrap();
        sparse.set_len(MAX_BYTES + 1).unwrap();
        let error = Survey::of(folder.path()).unwrap_err();
        assert!(error.to_string().contains("1024 MiB"), "{error}");
        assert!(Survey::of(Path::new("/dev/null")).is_err());
        let missing = Survey::of(&folder.path().join("no")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
