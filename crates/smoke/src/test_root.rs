//! The one folder for all files of scenarios: prepared guests and the sandboxes of the runs.
//!
//! ```text
//! /var/tmp/banger-test-<uid>/        or $BANGER_TEST_DIR
//!   g-<key>/                         prepared guests: a BANGER_HOME with kernel and images
//!   d-<key>/                         images shaped like other distributions, as OCI layouts
//!   s-<pid>-<n>/                     a sandbox: home h/, BANGER_HOME b/; swept once <pid> is gone
//! ```
//!
//! The name is short because a Unix socket's path holds at most 107 bytes (unix(7)), and one file system holds both
//! kinds because a sandbox takes the prepared images by hard link.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::leftovers;
use crate::step::note;

/// The folder; made if it is missing.
///
/// # Panics
/// Panics when it cannot be made, or belongs to another user: every user may write to `/var/tmp`.
pub fn test_root() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let root = match env::var_os("BANGER_TEST_DIR") {
        Some(named) => PathBuf::from(named),
        None => PathBuf::from(format!("/var/tmp/banger-test-{uid}")),
    };
    // Other users may read it: a scenario runs banger as another user.
    match DirBuilder::new().mode(0o755).create(&root) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => panic!("cannot make {}: {error}", root.display()),
    }
    match fs::symlink_metadata(&root) {
        Ok(found) if found.is_dir() && found.uid() == uid => root,
        Ok(_) => panic!(
            "{} is not a folder of this user; set BANGER_TEST_DIR",
            root.display()
        ),
        Err(error) => panic!("cannot look at {}: {error}", root.display()),
    }
}

/// A new, empty folder for one sandbox of this process.
pub(crate) fn new_sandbox_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = test_root().join(format!("s-{}-{number}", std::process::id()));
    match DirBuilder::new().mode(0o755).create(&folder) {
        Ok(()) => folder,
        Err(error) => panic!("cannot make {}: {error}", folder.display()),
    }
}

/// Ends and removes leftovers of killed runs: sandboxes whose process is gone.
pub fn sweep_dead_sandboxes() {
    let root = test_root();
    let Ok(entries) = fs::read_dir(&root) else {
        return;
    };
    for folder in entries.flatten().map(|entry| entry.path()) {
        if maker_of(&folder).is_some_and(|maker| !Path::new(&format!("/proc/{maker}")).exists()) {
            note(&format!(
                "sweeping {}, whose scenario was killed",
                folder.display()
            ));
            leftovers::end_processes_of(&folder);
            leftovers::unmount_below(&folder);
            if let Err(error) = fs::remove_dir_all(&folder) {
                note(&format!("cannot remove {}: {error}", folder.display()));
            }
        }
    }
}

/// The process id in `s-<pid>-<n>`.
fn maker_of(folder: &Path) -> Option<u32> {
    let name = folder.file_name()?.to_str()?.strip_prefix("s-")?;
    name.split_once('-')?.0.parse().ok()
}
