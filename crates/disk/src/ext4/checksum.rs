//! ext4's checksums: CRC-32C without the final inversion, chained from a seed.
//!
//! The seed is not the volume's UUID but a number of its own in the superblock (feature `metadata_csum_seed`). So the
//! UUID is in no checksum but the superblock's, and a new disk gets a UUID of its own by changing superblocks only.
//!
//! The cost: a seed per volume would also detect a stray block of another volume. On a shared partition that can
//! happen; here each volume is a file of its own, whose fresh blocks read as zeros.

use super::format::{BLOCK, put32};

/// `s_checksum_seed` of every image that is written: an arbitrary constant.
pub(crate) const SEED: u32 = 0x6261_6E67;

/// The running checksum `state` over `bytes`.
pub(crate) fn crc(state: u32, bytes: &[u8]) -> u32 {
    // The crate inverts on the way in and out; ext4 does not.
    !crc32c::crc32c_append(!state, bytes)
}

/// Seed of the checksums of an inode and of its blocks. Generation numbers are 0.
pub(crate) fn inode_seed(inode: u32) -> u32 {
    crc(crc(SEED, &inode.to_le_bytes()), &[0; 4])
}

/// Checksum of a whole inode whose own checksum fields are zero.
pub(crate) fn inode(number: u32, raw: &[u8]) -> u32 {
    crc(inode_seed(number), raw)
}

/// Fills the checksum of a directory block with entries (the last 4 of its 12 tail bytes).
pub(crate) fn seal_directory_block(seed: u32, block: &mut [u8]) {
    let sum = crc(seed, &block[..BLOCK - 12]);
    put32(block, BLOCK - 4, sum);
}

/// Fills the checksum of an extent tree block (its last 4 bytes).
pub(crate) fn seal_extent_block(seed: u32, block: &mut [u8]) {
    let sum = crc(seed, &block[..BLOCK - 4]);
    put32(block, BLOCK - 4, sum);
}

/// Fills the checksum of an index block of a directory: entries from `count_at`, `count` of `limit` are used.
pub(crate) fn seal_index_block(
    seed: u32,
    block: &mut [u8],
    count_at: usize,
    count: usize,
    limit: usize,
) {
    let tail = count_at + limit * 8;
    let sum = crc(seed, &block[..count_at + count * 8]);
    // The tail's reserved word counts, then zeros in place of the checksum.
    let sum = crc(crc(sum, &block[tail..tail + 4]), &[0; 4]);
    put32(block, tail + 4, sum);
}

/// Fills the checksum of a block of extended attributes at block `number` (field 0x10).
pub(crate) fn seal_xattr_block(number: u64, block: &mut [u8]) {
    let sum = crc(SEED, &number.to_le_bytes());
    let sum = crc(crc(crc(sum, &block[..0x10]), &[0; 4]), &block[0x14..]);
    put32(block, 0x10, sum);
}

/// Checksum of a group descriptor whose checksum field is zero.
pub(crate) fn group_descriptor(group: u32, raw: &[u8]) -> u16 {
    crc(crc(SEED, &group.to_le_bytes()), raw) as u16
}

/// Fills the checksum of a superblock (its last 4 bytes). It starts from all ones, not from the seed.
pub(crate) fn seal_superblock(raw: &mut [u8]) {
    let sum = crc(!0, &raw[..0x3FC]);
    put32(raw, 0x3FC, sum);
}
