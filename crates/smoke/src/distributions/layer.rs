//! A new layer of an image.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tar::{Archive, Builder, EntryType, Header};

/// A tar archive that grows by files, links, and entries of other archives. Existing entries stay.
pub struct Layer {
    path: PathBuf,
    archive: Builder<BufWriter<File>>,
    has: HashSet<PathBuf>,
}

impl Layer {
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        Ok(Self {
            path,
            archive: Builder::new(file),
            has: HashSet::new(),
        })
    }

    pub fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.add(EntryType::Directory, path, None, mode, b"")
    }

    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.add(EntryType::Regular, path, None, mode, content)
    }

    pub fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.add(EntryType::Symlink, path, Some(target), 0o777, b"")
    }

    /// A file with SELinux's label, as GNU tar writes it (`--xattrs`).
    pub fn labelled(&mut self, path: &str, content: &[u8], label: &str) -> io::Result<()> {
        let value = [label.as_bytes(), b"\0"].concat();
        self.archive
            .append_pax_extensions([("SCHILY.xattr.security.selinux", value.as_slice())])?;
        self.file(path, 0o644, content)
    }

    /// Hides an entry of the layers below (OCI image specification, "Whiteouts").
    pub fn whiteout(&mut self, path: &str) -> io::Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.file(&format!("{folder}/.wh.{name}"), 0o644, b"")
    }

    fn add(
        &mut self,
        kind: EntryType,
        path: &str,
        target: Option<&str>,
        mode: u32,
        content: &[u8],
    ) -> io::Result<()> {
        let path = Path::new(path.trim_start_matches('/'));
        if !self.has.insert(path.to_owned()) {
            return Ok(());
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_767_225_600);
        header.set_size(content.len() as u64);
        match target {
            Some(target) => self.archive.append_link(&mut header, path, target),
            None => self.archive.append_data(&mut header, path, content),
        }
    }

    /// Adds the entries of another archive, under the names that `named` gives; `None` leaves one out.
    pub fn take(
        &mut self,
        from: &Path,
        named: impl Fn(&Path, &Header) -> Option<PathBuf>,
    ) -> io::Result<()> {
        let mut archive = Archive::new(BufReader::with_capacity(1 << 20, File::open(from)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = plain(&entry.path()?);
            let mut header = entry.header().clone();
            let Some(path) = named(&path, &header) else {
                continue;
            };
            if path.as_os_str().is_empty() || !self.has.insert(path.clone()) {
                continue;
            }
            let target = entry.link_name()?.map(|target| target.into_owned());
            match (header.entry_type(), target) {
                (EntryType::Link, Some(target)) => {
                    if let Some(target) = named(&plain(&target), &header) {
                        self.archive.append_link(&mut header, path, target)?;
                    }
                }
                (_, Some(target)) => self.archive.append_link(&mut header, path, target)?,
                (_, None) => self.archive.append_data(&mut header, path, &mut entry)?,
            }
        }
        Ok(())
    }

    pub fn finish(self) -> io::Result<PathBuf> {
        self.archive.into_inner()?.flush()?;
        Ok(self.path)
    }
}

/// The path without `./` before and `/` behind.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .collect()
}

/// The paths of an archive.
pub fn names(archive: &Path) -> io::Result<HashSet<PathBuf>> {
    Archive::new(BufReader::new(File::open(archive)?))
        .entries_with_seek()?
        .map(|entry| Ok(plain(&entry?.path()?)))
        .collect()
}
