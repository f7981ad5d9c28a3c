//! Growing an ext4 file system to its device, while it is mounted (`EXT4_IOC_RESIZE_FS`).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use banger_guest::{Failure, GrowDisk};
use rustix::fs::{Mode, OFlags};

use super::disks::{Disk, Disks};
use crate::failure::failure;
use crate::sys;

/// Time for the kernel to see that a disk has become larger.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Grows the file system of a disk that is mounted, as soon as the kernel sees the disk's new size. In the guest's own root.
///
/// # Errors
/// There is no such disk, it does not become larger, another file system is mounted there, or [`grow`] fails.
pub fn grow_mounted(wanted: &GrowDisk) -> Result<(), Failure> {
    let deadline = Instant::now() + SEEN_WITHIN;
    let disk = loop {
        let disk = Disks::default().find(&wanted.disk, &wanted.disk)?;
        if disk.bytes >= wanted.bytes {
            break disk;
        }
        if Instant::now() > deadline {
            let cause = format!("it has {} bytes, not {}", disk.bytes, wanted.bytes);
            return Err(failure(disk.part, "see its new size", cause));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    };
    let fail = |check: &str, error: io::Error| failure(&disk.part, check, error);
    let place = wanted.mounted.as_str();
    let mounted = File::open(place).map_err(|error| fail("open its root", error))?;
    let on = mounted
        .metadata()
        .map_err(|error| fail("look at its root", error))?;
    let device = std::fs::metadata(&disk.device).map_err(|error| fail("look at it", error))?;
    // The size of one disk in the file system of another would be a disaster.
    if on.dev() != device.rdev() {
        let cause = format!("something else is mounted at {place}");
        return Err(failure(&disk.part, "find its root", cause));
    }
    grow(&disk, &mounted)
}

/// Grows the file system of `disk`, whose root is `mounted`, when its device has room for more. Never shrinks.
///
/// # Errors
/// When the kernel refuses, or the file system is not larger afterwards.
pub fn grow(disk: &Disk, mounted: impl AsFd) -> Result<(), Failure> {
    let fail = |check: &str, error: io::Error| failure(&disk.part, check, error);
    let before = read_geometry(&disk.device).map_err(|error| fail("read its size", error))?;
    let wanted = disk.bytes / before.block_bytes;
    if wanted <= before.blocks {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(mounted, ".", flags, Mode::empty())
        .map_err(|error| fail("open", error.into()))?;
    sys::ext4_resize(&root, wanted).map_err(|error| fail("grow", error))?;
    let after = rustix::fs::fstatvfs(&root).map_err(|error| fail("read its size", error.into()))?;
    // The kernel may leave out a last group that is too small to be of use; statvfs leaves out its own tables.
    if after.f_blocks * after.f_frsize < disk.bytes / 100 * 80 {
        let cause = format!(
            "{} of {} bytes after growing",
            after.f_blocks * after.f_frsize,
            disk.bytes
        );
        return Err(failure(&disk.part, "fill its device", cause));
    }
    Ok(())
}

struct Geometry {
    blocks: u64,
    block_bytes: u64,
}

/// Size as the superblock says (Documentation/filesystems/ext4/super.rst).
fn read_geometry(device: &Path) -> io::Result<Geometry> {
    let mut superblock = [0; 1024];
    File::open(device)?.read_exact_at(&mut superblock, 1024)?;
    parse_geometry(&superblock).ok_or_else(|| io::Error::other("no ext4 file system"))
}

fn parse_geometry(superblock: &[u8; 1024]) -> Option<Geometry> {
    let word = |offset: usize| -> Option<u32> {
        Some(u32::from_le_bytes(
            superblock.get(offset..offset + 4)?.try_into().ok()?,
        ))
    };
    if superblock[0x38..0x3a] != [0x53, 0xef] {
        return None;
    }
    let wide = word(0x60)? & 0x80 != 0;
    let high = if wide { word(0x150)? } else { 0 };
    let shift = word(0x18)?;
    (shift <= 6).then_some(Geometry {
        blocks: u64::from(high) << 32 | u64::from(word(0x4)?),
        block_bytes: 1024 << shift,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_tells_the_size() {
        let mut superblock = [0; 1024];
        assert!(parse_geometry(&superblock).is_none());
        superblock[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        superblock[4..8].copy_from_slice(&2_097_152_u32.to_le_bytes());
        superblock[0x18] = 2;
        let geometry = parse_geometry(&superblock).unwrap();
        assert_eq!(geometry.blocks * geometry.block_bytes, 8 << 30);
        superblock[0x18] = 60;
        assert!(parse_geometry(&superblock).is_none());
    }
}
