//! An inode and the list of its blocks, read back.

use super::format::{BLOCK, EXTRA_INODE, FLAG_EXTENTS, INODE_BLOCK_AREA};
use super::read::{Image, ReadError, u16_at, u32_at};
use crate::tree::{Attributes, DeviceNumber, Timestamp};

/// Deepest tree of extents that ext4 has.
const MAX_EXTENT_DEPTH: u16 = 5;
const EXTENT_MAGIC: u16 = 0xF30A;
/// Longest run of an extent with contents; a longer one marks an extent that was never written.
const MAX_RUN: u16 = 32768;

/// Type of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink,
    CharDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Fifo,
    Socket,
}

/// Fields of an inode.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) attributes: Attributes,
    /// Bytes.
    pub(super) size: u64,
    pub(super) area: [u8; INODE_BLOCK_AREA],
    pub(super) xattr_block: u64,
    /// Bytes behind the inode's own fields.
    pub(super) behind: Vec<u8>,
    extents: bool,
}

/// Contiguous blocks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapped {
    /// First block in the file.
    pub(super) logical: u64,
    /// First block in the image.
    pub(super) start: u64,
    /// Number of blocks.
    pub(super) len: u64,
}

/// Inode `number`.
pub(super) fn decode(image: &Image<'_>, number: u32, raw: &[u8]) -> Result<Inode, ReadError> {
    let mode = u16_at(raw, 0);
    let mut area = [0; INODE_BLOCK_AREA];
    area.copy_from_slice(&raw[0x28..0x28 + INODE_BLOCK_AREA]);
    let device =
        || device(&area).ok_or_else(|| image.broken(number, "its device number is impossible"));
    let kind = match mode >> 12 {
        0o1 => Kind::Fifo,
        0o2 => Kind::CharDevice(device()?),
        0o4 => Kind::Directory,
        0o6 => Kind::BlockDevice(device()?),
        0o10 => Kind::File,
        0o12 => Kind::Symlink,
        0o14 => Kind::Socket,
        other => return Err(image.broken(number, format!("kind {other:o}"))),
    };
    if u16_at(raw, 0x80) != EXTRA_INODE {
        return Err(image.broken(number, "its fields are not those that banger writes"));
    }
    let joined =
        |low: usize, high: usize| u32::from(u16_at(raw, low)) | u32::from(u16_at(raw, high)) << 16;
    Ok(Inode {
        kind,
        attributes: Attributes {
            mode: mode & 0o7777,
            uid: joined(0x02, 0x78),
            gid: joined(0x18, 0x7A),
            mtime: time(u32_at(raw, 0x10), u32_at(raw, 0x88)),
        },
        size: u64::from(u32_at(raw, 4)) | u64::from(u32_at(raw, 0x6C)) << 32,
        area,
        xattr_block: u32_at(raw, 0x68).into(),
        behind: raw[0x80 + usize::from(EXTRA_INODE)..].to_vec(),
        extents: u32_at(raw, 0x20) & FLAG_EXTENTS != 0,
    })
}

/// Seconds with the two bits above them, and nanoseconds.
fn time(seconds: u32, extra: u32) -> Timestamp {
    Timestamp {
        seconds: i64::from(seconds.cast_signed()) + (i64::from(extra & 3) << 32),
        nanoseconds: extra >> 2,
    }
}

fn device(area: &[u8]) -> Option<DeviceNumber> {
    let (old, new) = (u32_at(area, 0), u32_at(area, 4));
    let (major, minor) = match old {
        0 => (new >> 8 & 0xFFF, new & 0xFF | new >> 12 & 0xF_FF00),
        old => (old >> 8 & 0xFF, old & 0xFF),
    };
    DeviceNumber::new(major, minor).ok()
}

/// Reads the runs of `inode`, in the order of its tree. The only check is that the tree ends.
pub(super) fn mapped(
    image: &Image<'_>,
    number: u32,
    inode: &Inode,
) -> Result<Vec<Mapped>, ReadError> {
    if !inode.extents {
        return Err(image.broken(number, "its blocks are not mapped by extents"));
    }
    let mut runs = Vec::new();
    // No file has more blocks, in its tree or below it, than the image.
    let mut budget = image.blocks();
    let mut walk = Walk {
        image,
        number,
        budget: &mut budget,
        runs: &mut runs,
    };
    walk.descend(&inode.area, MAX_EXTENT_DEPTH + 1)?;
    Ok(runs)
}

/// One walk through a tree of extents.
struct Walk<'a> {
    image: &'a Image<'a>,
    number: u32,
    /// Number of nodes and extents that may still follow.
    budget: &'a mut u64,
    runs: &'a mut Vec<Mapped>,
}

impl Walk<'_> {
    fn descend(&mut self, node: &[u8], below: u16) -> Result<(), ReadError> {
        let (count, depth) = (usize::from(u16_at(node, 2)), u16_at(node, 6));
        let entries = node[12..].chunks_exact(12);
        if u16_at(node, 0) != EXTENT_MAGIC || depth >= below || count > entries.len() {
            return Err(self.broken("its tree of extents is broken"));
        }
        for entry in entries.take(count) {
            *self.budget = self
                .budget
                .checked_sub(1)
                .ok_or_else(|| self.broken("its tree of extents has no end"))?;
            if depth > 0 {
                let child: [u8; BLOCK] = self.image.block(self.number, u32_at(entry, 4).into())?;
                self.descend(&child, depth)?;
                continue;
            }
            let len = u16_at(entry, 4);
            if len == 0 || len > MAX_RUN {
                return Err(self.broken(&format!("an extent of {len} blocks")));
            }
            self.runs.push(Mapped {
                logical: u32_at(entry, 0).into(),
                start: u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32,
                len: len.into(),
            });
        }
        Ok(())
    }

    fn broken(&self, what: &str) -> ReadError {
        self.image.broken(self.number, what)
    }
}
