//! Room that long writes leave free on a file system.
//!
//! Disks of running VMs lie there as well and grow while their guests write: an image that takes the last block
//! breaks them.

use std::fs::File;
use std::io;

use rustix::fs::fstatvfs;

/// Bytes between two checks.
const STEP: u64 = 64 << 20;
/// Most bytes that stay free.
const MOST: u64 = 512 << 20;
/// Divisor of the file system's size: the share that stays free when that is less.
const PART: u64 = 50;

/// The error of a write that would take the last room, as the source of an [`io::Error`] of kind `StorageFull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no space: {} MiB are written, {} MiB are free there, and {} MiB stay free for running VMs",
    written >> 20, free >> 20, kept >> 20
)]
pub struct NoRoom {
    /// Bytes written so far.
    pub written: u64,
    /// Free bytes.
    pub free: u64,
    /// Bytes that must stay free.
    pub kept: u64,
}

/// Checks at intervals that there is room for more.
#[derive(Debug, Default)]
pub struct Room {
    looked_at: u64,
}

impl Room {
    /// Checks the room on the file system of `file`, to which `written` bytes have been written: once for each 64 MiB.
    ///
    /// # Errors
    /// `StorageFull` with [`NoRoom`] when less is free than a fiftieth of the file system, or 512 MiB; or the system's answer.
    pub fn check(&mut self, file: &File, written: u64) -> io::Result<()> {
        if written < self.looked_at + STEP {
            return Ok(());
        }
        self.looked_at = written;
        let stat = fstatvfs(file)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        judge(written, bytes(stat.f_bavail), bytes(stat.f_blocks))
    }
}

fn judge(written: u64, free: u64, all: u64) -> io::Result<()> {
    let kept = (all / PART).min(MOST);
    if free >= kept {
        return Ok(());
    }
    let error = NoRoom {
        written,
        free,
        kept,
    };
    Err(io::Error::new(io::ErrorKind::StorageFull, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fiftieth_stays_free_and_never_more_than_half_a_gib() {
        assert!(judge(0, 2 << 20, 100 << 20).is_ok());
        let error = judge(3 << 20, 1 << 20, 100 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(
            error.to_string(),
            "no space: 3 MiB are written, 1 MiB are free there, and 2 MiB stay free for running VMs"
        );
        assert!(judge(0, MOST, 1 << 40).is_ok());
        assert!(judge(0, MOST - 1, 1 << 40).is_err());
    }

    #[test]
    fn a_look_is_taken_at_each_step_only() {
        let file = tempfile::tempfile().unwrap();
        let mut room = Room::default();
        room.check(&file, STEP - 1).unwrap();
        assert_eq!(room.looked_at, 0);
        room.check(&file, STEP + 5).unwrap();
        assert_eq!(room.looked_at, STEP + 5);
    }
}
