//! The content that we last wrote into files that a user may edit, kept on the VM's own disk beside the overlay, where no program of the
//! guest comes upon it: a file that still has it is ours to write again.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use banger_guest::GuestPath;

use super::root::SYSTEM_MOUNT;

/// The memory of what was written.
#[derive(Debug)]
pub struct Written {
    folder: PathBuf,
}

impl Written {
    /// That of this guest, in its own root.
    #[must_use]
    pub fn of_this_guest() -> Self {
        Self::within(PathBuf::from(SYSTEM_MOUNT).join("written"))
    }

    /// One in another folder, which is made when something is remembered.
    #[must_use]
    pub fn within(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The content that was last written there; none when nothing ever was.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn recall(&self, path: &GuestPath) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.file(path)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps what is about to be written there.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn remember(&self, path: &GuestPath, content: &[u8]) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let beside = self.folder.join("new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&beside)?.write_all(content)?;
        std::fs::rename(&beside, self.file(path))
    }

    /// Paths are of this program, few, and differ in more than what `%` stands for.
    fn file(&self, path: &GuestPath) -> PathBuf {
        self.folder.join(path.relative().replace('/', "%"))
    }
}
