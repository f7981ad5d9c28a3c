//! Growing an ext4 file system to its device, while it is mounted (`EXT4_IOC_RESIZE_FS`).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use banger_guest::Failure;
use rustix::fs::{Mode, OFlags};

use super::disks::Disk;
use crate::failure::failure;
use crate::sys;

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
