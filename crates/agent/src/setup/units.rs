//! Units that systemd gets from us, before it starts, in `/run/systemd/system` (systemd.unit(5)): neither an upgrade of systemd nor
//! `daemon-reload` touches them, and what an administrator has in `/etc` wins.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// The directory of such units in one root.
#[derive(Debug)]
pub struct Units(PathBuf);

impl Units {
    /// The directory in the root at `root`, made when it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn of(root: &Path) -> io::Result<Self> {
        let folder = root.join("run/systemd/system");
        make_folder(&folder)?;
        Ok(Self(folder))
    }

    /// Keeps systemd from starting the image's unit of this name.
    ///
    /// # Errors
    /// The link cannot be made.
    pub fn mask(&self, unit: &str) -> io::Result<()> {
        link("/dev/null", &self.0.join(unit))
    }

    /// Lets systemd take the unit at `path`, one of the image's own, for the unit of this name.
    ///
    /// # Errors
    /// The link cannot be made.
    pub fn alias(&self, unit: &str, path: &str) -> io::Result<()> {
        link(path, &self.0.join(unit))
    }

    /// Adds a unit that starts with `target`.
    ///
    /// # Errors
    /// The unit, or the wish for it, cannot be written.
    pub fn add(&self, unit: &str, text: &str, target: &str) -> io::Result<()> {
        std::fs::write(self.0.join(unit), text)?;
        let wanted = self.0.join(format!("{target}.wants"));
        make_folder(&wanted)?;
        link(&format!("../{unit}"), &wanted.join(unit))
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Makes a link; one that is there stays, for a guest is configured more than once.
fn link(to: &str, at: &Path) -> io::Result<()> {
    match symlink(to, at) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
