//! An inode as 256 bytes.

use super::checksum;
use super::format::{EXTRA_INODE, FileType, INODE, INODE_BLOCK_AREA, put16, put32};
use crate::tree::{Attributes, Timestamp};

/// Most subdirectories that a link count can express; above, it is 1 (`dir_nlink`).
const MAX_DIRECTORY_LINKS: u32 = 65_000;

/// Fields of an inode.
pub(crate) struct Inode<'a> {
    pub(crate) kind: FileType,
    pub(crate) attributes: Attributes,
    pub(crate) links: u32,
    /// Bytes.
    pub(crate) size: u64,
    /// Blocks of 4 KiB: contents, extent tree and extended attributes.
    pub(crate) blocks: u64,
    pub(crate) flags: u32,
    /// `i_block`: extents, a short link target, or device numbers.
    pub(crate) area: [u8; INODE_BLOCK_AREA],
    /// Block of extended attributes; 0 for none.
    pub(crate) xattr_block: u64,
    /// Extended attributes behind the inode.
    pub(crate) xattrs: &'a [u8],
}

impl Inode<'_> {
    /// The inode as number `number`.
    pub(crate) fn encode(&self, number: u32) -> [u8; INODE] {
        let mut raw = [0; INODE];
        let owner = &self.attributes;
        put16(&mut raw, 0x00, self.kind.mode_bits() | owner.mode);
        put16(&mut raw, 0x02, owner.uid as u16);
        put32(&mut raw, 0x04, self.size as u32);
        let (seconds, extra) = encode_time(owner.mtime);
        for at in [0x08, 0x0C, 0x10, 0x90] {
            put32(&mut raw, at, seconds); // access, change, modification, creation
        }
        for at in [0x84, 0x88, 0x8C, 0x94] {
            put32(&mut raw, at, extra);
        }
        put16(&mut raw, 0x18, owner.gid as u16);
        let links = match self.kind {
            FileType::Directory if self.links > MAX_DIRECTORY_LINKS => 1,
            _ => self.links,
        };
        put16(&mut raw, 0x1A, links as u16);
        let sectors = self.blocks * 8;
        put32(&mut raw, 0x1C, sectors as u32);
        put16(&mut raw, 0x74, (sectors >> 32) as u16);
        put32(&mut raw, 0x20, self.flags);
        raw[0x28..0x28 + INODE_BLOCK_AREA].copy_from_slice(&self.area);
        put32(&mut raw, 0x68, self.xattr_block as u32);
        put32(&mut raw, 0x6C, (self.size >> 32) as u32);
        put16(&mut raw, 0x78, (owner.uid >> 16) as u16);
        put16(&mut raw, 0x7A, (owner.gid >> 16) as u16);
        put16(&mut raw, 0x80, EXTRA_INODE);
        let behind = 0x80 + usize::from(EXTRA_INODE);
        raw[behind..behind + self.xattrs.len()].copy_from_slice(self.xattrs);
        let sum = checksum::inode(number, &raw);
        put16(&mut raw, 0x7C, sum as u16);
        put16(&mut raw, 0x82, (sum >> 16) as u16);
        raw
    }
}

/// A reserved inode without contents: zeros, and the half of the checksum that fits into it.
pub(crate) fn reserved(number: u32) -> [u8; INODE] {
    let mut raw = [0; INODE];
    let sum = checksum::inode(number, &raw);
    put16(&mut raw, 0x7C, sum as u16);
    raw
}

/// Seconds (the low 32 bits), and the word of nanoseconds with two more bits of the seconds. Times out of range become
/// the nearest valid one.
fn encode_time(time: Timestamp) -> (u32, u32) {
    const FIRST: i64 = -(1 << 31);
    const LAST: i64 = (3 << 32) + (1 << 31) - 1;
    let seconds = time.seconds.clamp(FIRST, LAST);
    let epoch = ((seconds - FIRST) >> 32) as u32;
    (seconds as u32, time.nanoseconds << 2 | epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(seconds: i64) -> (u32, u32) {
        encode_time(Timestamp {
            seconds,
            nanoseconds: 5,
        })
    }

    #[test]
    fn times_before_1970_and_behind_2038_have_their_bits() {
        assert_eq!(encoded(0), (0, 20));
        assert_eq!(encoded(-1), (u32::MAX, 20));
        assert_eq!(encoded(1 << 31), (1 << 31, 21));
        assert_eq!(encoded(i64::MAX), (0x7FFF_FFFF, 23));
        assert_eq!(encoded(i64::MIN), (1 << 31, 20));
    }
}
