//! Rules of git for what it ignores (gitignore(5)): the repository's files, `.git/info/exclude`, and the user's own file. A
//! `core.excludesFile` that the guest's configuration names elsewhere is not looked for.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use banger_guest::files::FilesError;
use gix_ignore::Search;
use gix_ignore::glob::pattern::Case;
use gix_ignore::glob::search::Pattern as _;
use gix_ignore::glob::search::pattern::List;
use gix_ignore::search::Ignore;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::failed::failed;

/// Bytes of one file of rules.
const MAX_RULES: u64 = 1 << 20;
/// The user's own file of rules, when nothing else is configured.
const USERS: &str = "/root/.config/git/ignore";

/// The rules that hold where the walk is.
#[derive(Debug)]
pub(super) struct Rules(Search);

impl Rules {
    /// Those that hold everywhere in a tree.
    pub(super) fn of(root: &Path) -> Result<Self, FilesError> {
        let mut rules = Self(Search::default());
        // The later of two decides.
        for path in [Path::new(USERS).to_owned(), root.join(".git/info/exclude")] {
            match File::open(&path).and_then(read) {
                Ok(bytes) => rules.add(&bytes, b""),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(failed("read", path, error)),
            }
        }
        Ok(rules)
    }

    /// With those of a directory, too. `false`: it has none.
    pub(super) fn enter(&mut self, directory: impl AsFd, path: &[u8]) -> Result<bool, FilesError> {
        // git does not follow a link here, either.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(directory, ".gitignore", flags, Mode::empty());
        let bytes = match opened {
            Ok(fd) => read(File::from(fd)),
            Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
            Err(error) => Err(error.into()),
        };
        match bytes {
            Ok(bytes) => self.add(&bytes, path),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(false),
            Err(error) => {
                let path = super::failed::as_path(path).join(".gitignore");
                return Err(failed("read", path, error));
            }
        }
        Ok(true)
    }

    /// Without those that were entered last.
    pub(super) fn leave(&mut self) {
        self.0.patterns.pop();
    }

    /// Tells whether a path, or a directory around it, is to be ignored.
    pub(super) fn ignore(&self, path: &[u8], is_directory: bool) -> bool {
        let around = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let directories = around.map(|(cut, _)| (&path[..cut], true));
        directories
            .chain([(path, is_directory)])
            .any(|(path, is_directory)| {
                let found = self.0.pattern_matching_relative_path(
                    path.into(),
                    Some(is_directory),
                    Case::Sensitive,
                );
                found.is_some_and(|found| !found.pattern.is_negative())
            })
    }

    fn add(&mut self, bytes: &[u8], directory: &[u8]) {
        let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        let base = [directory, slash].concat();
        self.0.patterns.push(List {
            patterns: Ignore::default().bytes_to_patterns(bytes, Path::new("")),
            source: None,
            base: (!base.is_empty()).then(|| base.into()),
        });
    }
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_RULES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_RULES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
