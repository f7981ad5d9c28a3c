//! Numbers of the on-disk format, from the kernel's `Documentation/filesystems/ext4/`.

/// Block size in bytes: the only one that is written.
pub(crate) const BLOCK: usize = 4096;
/// Block size as the factor of sizes and offsets.
pub(crate) const BLOCK_BYTES: u64 = BLOCK as u64;
/// Inode size in bytes.
pub(crate) const INODE: usize = 256;
/// Inodes in one block of an inode table.
pub(crate) const INODES_PER_BLOCK: u32 = (BLOCK / INODE) as u32;
/// Blocks of a group: one block of bitmap covers them.
pub(crate) const BLOCKS_PER_GROUP: u64 = 8 * BLOCK_BYTES;
/// Size of a group descriptor in bytes (without the `64bit` feature).
pub(crate) const DESCRIPTOR: usize = 32;
/// Groups whose bitmaps and inode tables lie together (`s_log_groups_per_flex` 4).
pub(crate) const GROUPS_PER_FLEX: u32 = 16;
/// The root directory.
pub(crate) const ROOT_INODE: u32 = 2;
/// The journal.
pub(crate) const JOURNAL_INODE: u32 = 8;
/// First inode that is not reserved (`s_first_ino`).
pub(crate) const FIRST_INODE: u32 = 11;
/// Bytes of an inode behind the fixed part that is written (`i_extra_isize`).
pub(crate) const EXTRA_INODE: u16 = 32;
/// Most blocks of one initialised extent.
pub(crate) const MAX_EXTENT_BLOCKS: u64 = 32768;
/// Bytes of `i_block`.
pub(crate) const INODE_BLOCK_AREA: usize = 60;
/// Bytes that a directory block ends with when metadata has checksums.
pub(crate) const DIRECTORY_TAIL: usize = 12;

/// `i_flags`: a directory with a hash index.
pub(crate) const FLAG_INDEX: u32 = 0x1000;
/// `i_flags`: blocks are mapped by extents.
pub(crate) const FLAG_EXTENTS: u32 = 0x8_0000;

/// `bg_flags`: inode bitmap and table are not written.
pub(crate) const GROUP_INODE_UNINIT: u16 = 1;
/// `bg_flags`: the block bitmap is not written, the kernel derives it from the layout.
pub(crate) const GROUP_BLOCK_UNINIT: u16 = 2;
/// `bg_flags`: the inode table holds zeros in place of unused inodes.
pub(crate) const GROUP_INODE_ZEROED: u16 = 4;

/// `s_feature_compat`: has_journal.
pub(crate) const COMPAT_JOURNAL: u32 = 0x4;
/// `s_feature_compat`: ext_attr, dir_index.
pub(crate) const COMPAT: u32 = 0x8 | 0x20;
/// `s_feature_incompat`: filetype, extents, flex_bg, metadata_csum_seed.
pub(crate) const INCOMPAT: u32 = 0x2 | 0x40 | 0x200 | 0x2000;
/// `s_feature_ro_compat`: sparse_super, large_file, huge_file, dir_nlink, extra_isize, metadata_csum.
pub(crate) const RO_COMPAT: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400;

/// Kinds of entries in a directory (`file_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FileType {
    Regular = 1,
    Directory = 2,
    CharDevice = 3,
    BlockDevice = 4,
    Fifo = 5,
    Socket = 6,
    Symlink = 7,
}

impl FileType {
    /// The upper bits of `i_mode`.
    pub(crate) fn mode_bits(self) -> u16 {
        let kind: u16 = match self {
            Self::Fifo => 0o1,
            Self::CharDevice => 0o2,
            Self::Directory => 0o4,
            Self::BlockDevice => 0o6,
            Self::Regular => 0o10,
            Self::Symlink => 0o12,
            Self::Socket => 0o14,
        };
        kind << 12
    }
}

/// Writes `value` little-endian at `at`.
pub(crate) fn put16(buffer: &mut [u8], at: usize, value: u16) {
    buffer[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Writes `value` little-endian at `at`.
pub(crate) fn put32(buffer: &mut [u8], at: usize, value: u32) {
    buffer[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Writes `value` big-endian at `at`: the journal's byte order.
pub(crate) fn put32_be(buffer: &mut [u8], at: usize, value: u32) {
    buffer[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
