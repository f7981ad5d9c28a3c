//! What was seen of files when a host last asked what they are, so that a file which somebody changed since is not
//! replaced unseen.
//!
//! ```text
//! digest_files ─► saw(file) … put_files, only what is unchanged ─► is_as_seen(file)?  ─► the new file takes its place
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rustix::fs::Stat;

/// Files that are remembered; with more, all are forgotten, and nothing is replaced until it was asked about again.
const MAX_LOOKED: usize = 500_000;

/// Files by device and inode: their size, and when they were modified.
#[derive(Debug, Default)]
pub struct Looked(Mutex<HashMap<(u64, u64), Seen>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: i64,
    modified: (i64, u64),
}

impl Looked {
    /// Remembers a file as it is now.
    pub fn saw(&self, stat: &Stat) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_LOOKED {
            seen.clear();
        }
        seen.insert((stat.st_dev, stat.st_ino), of(stat));
    }

    /// Whether it is a file that was seen, and still as it was.
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
