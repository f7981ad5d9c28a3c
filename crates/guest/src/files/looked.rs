//! State of files when a host last asked for it, so that a file which was changed since is not replaced by mistake.
//!
//! ```text
//! digest_files ─► saw(file) … put_files, `unchanged` set ─► is_as_seen(file)?  ─► the new file replaces it
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rustix::fs::Stat;

/// Files that are remembered; with more, all are forgotten, and none is replaced until the host has asked again.
const MAX_LOOKED: usize = 500_000;

/// Files by device and inode: their size, and their modification time.
#[derive(Debug, Default)]
pub struct Looked(Mutex<HashMap<(u64, u64), Seen>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: i64,
    modified: (i64, u64),
}

impl Looked {
    /// Remembers the current state of a file.
    pub fn saw(&self, stat: &Stat) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_LOOKED {
            seen.clear();
        }
        seen.insert((stat.st_dev, stat.st_ino), of(stat));
    }

    /// Tells whether a file was seen and is unchanged since.
    pub fn is_as_seen(&self, stat: &Stat) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(stat.st_dev, stat.st_ino)) == Some(&of(stat))
    }
}

fn of(stat: &Stat) -> Seen {
    Seen {
        size: stat.st_size,
        modified: (stat.st_mtime, stat.st_mtime_nsec),
    }
}
