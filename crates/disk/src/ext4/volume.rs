//! The structures that describe the whole volume: superblock, group descriptor, journal superblock.

use uuid::Uuid;

use super::checksum;
use super::format::{
    BLOCK, BLOCKS_PER_GROUP, COMPAT, COMPAT_JOURNAL, DESCRIPTOR, EXTRA_INODE, FIRST_INODE,
    INCOMPAT, INODE, INODE_BLOCK_AREA, JOURNAL_INODE, RO_COMPAT, put16, put32, put32_be,
};
use super::geometry::{Geometry, GroupTables};
use super::name_hash::HASH_SEED;
use super::options::EPOCH;
use crate::label::Label;

/// Length of a superblock in bytes.
pub(crate) const SUPERBLOCK: usize = 1024;
/// Offset of the first superblock in its block; the copies lie at the start of theirs.
pub(crate) const PRIMARY_OFFSET: usize = 1024;
const UUID_AT: usize = 0x68;
const LABEL_AT: usize = 0x78;
const HASH_SEED_AT: usize = 0xEC;
const CHECKSUM_SEED_AT: usize = 0x270;
/// `JBD2_MAGIC_NUMBER`.
const JOURNAL_MAGIC: u32 = 0xC03B_3998;
/// `JBD2_SUPERBLOCK_V2`.
const JOURNAL_SUPERBLOCK_V2: u32 = 4;
/// Offset of the UUID in the journal's superblock.
pub(crate) const JOURNAL_UUID_AT: usize = 48;

/// Totals in the superblock.
pub(crate) struct Totals {
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u64,
    /// `i_block` of the journal and its blocks, if there is one.
    pub(crate) journal: Option<([u8; INODE_BLOCK_AREA], u64)>,
}

/// The superblock of `group`.
pub(crate) fn superblock(
    shape: &Geometry,
    totals: &Totals,
    label: Label,
    uuid: Uuid,
    group: u32,
) -> [u8; SUPERBLOCK] {
    let mut raw = [0; SUPERBLOCK];
    put32(&mut raw, 0x00, shape.inodes() as u32);
    put32(&mut raw, 0x04, shape.blocks as u32);
    put32(&mut raw, 0x0C, totals.free_blocks as u32);
    put32(&mut raw, 0x10, totals.free_inodes as u32);
    put32(&mut raw, 0x18, 2); // blocks of 1024 << 2 bytes
    put32(&mut raw, 0x1C, 2); // clusters too
    put32(&mut raw, 0x20, BLOCKS_PER_GROUP as u32);
    put32(&mut raw, 0x24, BLOCKS_PER_GROUP as u32);
    put32(&mut raw, 0x28, shape.inodes_per_group);
    put32(&mut raw, 0x30, EPOCH); // last write
    put16(&mut raw, 0x36, u16::MAX); // no check after so many mounts
    put16(&mut raw, 0x38, 0xEF53);
    put16(&mut raw, 0x3A, 1); // clean
    put16(&mut raw, 0x3C, 1); // on errors: go on
    put32(&mut raw, 0x40, EPOCH); // last check
    put32(&mut raw, 0x4C, 1); // dynamic revision
    put32(&mut raw, 0x54, FIRST_INODE);
    put16(&mut raw, 0x58, INODE as u16);
    put16(&mut raw, 0x5A, group as u16);
    let journal_feature = if totals.journal.is_some() {
        COMPAT_JOURNAL
    } else {
        0
    };
    put32(&mut raw, 0x5C, COMPAT | journal_feature);
    put32(&mut raw, 0x60, INCOMPAT);
    put32(&mut raw, 0x64, RO_COMPAT);
    for (at, word) in HASH_SEED.into_iter().enumerate() {
        put32(&mut raw, HASH_SEED_AT + 4 * at, word);
    }
    raw[0xFC] = 1; // half MD4
    put32(&mut raw, 0x100, 0x0C); // user_xattr, acl
    put32(&mut raw, 0x108, EPOCH); // creation
    let mut overhead = shape.overhead();
    if let Some((area, blocks)) = &totals.journal {
        put32(&mut raw, 0xE0, JOURNAL_INODE);
        raw[0xFD] = 1; // the copy of the journal's inode that follows is in use
        raw[0x10C..0x10C + INODE_BLOCK_AREA].copy_from_slice(area);
        let bytes = blocks * BLOCK as u64;
        put32(&mut raw, 0x148, (bytes >> 32) as u32);
        put32(&mut raw, 0x14C, bytes as u32);
        overhead += blocks;
    }
    put16(&mut raw, 0x15C, EXTRA_INODE);
    put16(&mut raw, 0x15E, EXTRA_INODE);
    put32(&mut raw, 0x160, 1); // bytes of names count as signed
    raw[0x174] = 4; // 1 << 4 groups per flex group
    raw[0x175] = 1; // CRC-32C
    put32(&mut raw, 0x248, overhead as u32);
    put32(&mut raw, CHECKSUM_SEED_AT, checksum::SEED);
    name_superblock(&mut raw, label, uuid);
    raw
}

/// Gives a superblock its label and UUID, and its checksum.
pub(crate) fn name_superblock(raw: &mut [u8], label: Label, uuid: Uuid) {
    raw[UUID_AT..UUID_AT + 16].copy_from_slice(uuid.as_bytes());
    raw[LABEL_AT..LABEL_AT + 16].copy_from_slice(&label.padded());
    checksum::seal_superblock(raw);
}

/// Seeds the hash of names in large directories from `uuid`: only for a file system that has no such directory yet.
/// So an attacker cannot prepare names that collide on every disk.
pub(crate) fn seed_names(raw: &mut [u8], uuid: Uuid) {
    raw[HASH_SEED_AT..HASH_SEED_AT + 16].copy_from_slice(uuid.as_bytes());
}

/// Fields of a group descriptor, besides the places of its tables.
pub(crate) struct GroupState {
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u32,
    pub(crate) directories: u32,
    /// Inodes at the end of the table that were never used.
    pub(crate) unused_inodes: u32,
    pub(crate) flags: u16,
    pub(crate) block_bitmap_sum: u16,
    pub(crate) inode_bitmap_sum: u16,
}

/// The descriptor of `group`.
pub(crate) fn descriptor(group: u32, tables: &GroupTables, state: &GroupState) -> [u8; DESCRIPTOR] {
    let mut raw = [0; DESCRIPTOR];
    put32(&mut raw, 0x00, tables.block_bitmap as u32);
    put32(&mut raw, 0x04, tables.inode_bitmap as u32);
    put32(&mut raw, 0x08, tables.inode_table as u32);
    put16(&mut raw, 0x0C, state.free_blocks as u16);
    put16(&mut raw, 0x0E, state.free_inodes as u16);
    put16(&mut raw, 0x10, state.directories as u16);
    put16(&mut raw, 0x12, state.flags);
    put16(&mut raw, 0x18, state.block_bitmap_sum);
    put16(&mut raw, 0x1A, state.inode_bitmap_sum);
    put16(&mut raw, 0x1C, state.unused_inodes as u16);
    let sum = checksum::group_descriptor(group, &raw);
    put16(&mut raw, 0x1E, sum);
    raw
}

/// The first block of an empty journal of `blocks` blocks.
pub(crate) fn journal_superblock(blocks: u64, uuid: Uuid) -> Vec<u8> {
    let mut raw = vec![0; BLOCK];
    put32_be(&mut raw, 0, JOURNAL_MAGIC);
    put32_be(&mut raw, 4, JOURNAL_SUPERBLOCK_V2);
    put32_be(&mut raw, 12, BLOCK as u32);
    put32_be(&mut raw, 16, blocks as u32);
    put32_be(&mut raw, 20, 1); // first block of the log
    put32_be(&mut raw, 24, 1); // first transaction to expect
    raw[JOURNAL_UUID_AT..JOURNAL_UUID_AT + 16].copy_from_slice(uuid.as_bytes());
    put32_be(&mut raw, 64, 1); // one file system uses it
    raw
}
