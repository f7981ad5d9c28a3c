//! Label, UUID and size of an ext4 file system, from its superblock alone.
//!
//! One read of 1 KiB at offset 1024, no other structure is followed. For images that banger made and for images that the
//! user registers; the bytes are treated as hostile.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Offset of the superblock in the file, in bytes.
const OFFSET: u64 = 1024;
/// Its length in bytes.
const LEN: usize = 1024;
/// `s_magic` of ext2, ext3 and ext4.
const MAGIC: u16 = 0xEF53;
/// `EXT4_FEATURE_INCOMPAT_64BIT`: the block count has an upper half.
const INCOMPAT_64BIT: u32 = 0x80;
/// `EXT4_FEATURE_INCOMPAT_RECOVER`: the journal holds changes that are not in place yet.
const INCOMPAT_RECOVER: u32 = 0x4;
/// `EXT4_FEATURE_COMPAT_HAS_JOURNAL`.
const COMPAT_HAS_JOURNAL: u32 = 0x4;
/// Log2 of the largest block size that ext4 knows, 64 KiB, above that of 1024.
const MAX_LOG_BLOCK_SIZE: u32 = 6;

/// Fields of a superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Volume label, without its padding; bytes that are not UTF-8 are replaced.
    pub label: String,
    /// File-system UUID.
    pub uuid: Uuid,
    /// Size of the file system in bytes: never more than the file's.
    pub size: u64,
    /// Block size in bytes.
    pub block_size: u32,
    /// True when it has a journal.
    pub has_journal: bool,
    /// True when it was not unmounted cleanly: a kernel must replay the journal.
    pub needs_recovery: bool,
}

/// Reason why a file is not a usable ext4 image.
#[derive(Debug, thiserror::Error)]
pub enum SuperblockError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// No ext4 magic where it belongs.
    #[error("{} is not an ext4 image: no superblock at offset 1024", path.display())]
    NotExt4 {
        /// The file.
        path: PathBuf,
    },
    /// A field has a value that is impossible in ext4.
    #[error("{} has a broken superblock: {what}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The field and its value.
        what: String,
    },
    /// The file system is larger than its file.
    #[error("{} is cut short: its file system has {claimed} bytes, the file has {file}", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Size that the superblock claims, in bytes.
        claimed: u64,
        /// Size of the file, in bytes.
        file: u64,
    },
}

/// Reads the superblock of the image at `path`.
///
/// # Errors
/// Fails when the file cannot be read, is no ext4 image, is cut short, or claims impossible sizes.
pub fn read(path: &Path) -> Result<Superblock, SuperblockError> {
    let failed = |source| SuperblockError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let file_size = file.metadata().map_err(failed)?.len();
    if file_size < OFFSET + LEN as u64 {
        return Err(SuperblockError::NotExt4 {
            path: path.to_owned(),
        });
    }
    let mut raw = [0; LEN];
    file.read_exact_at(&mut raw, OFFSET).map_err(failed)?;
    decode(&raw, file_size, path)
}

fn decode(raw: &[u8; LEN], file_size: u64, path: &Path) -> Result<Superblock, SuperblockError> {
    let broken = |what: String| SuperblockError::Broken {
        path: path.to_owned(),
        what,
    };
    if u16_at(raw, 0x38) != MAGIC {
        return Err(SuperblockError::NotExt4 {
            path: path.to_owned(),
        });
    }
    let log_block_size = u32_at(raw, 0x18);
    if log_block_size > MAX_LOG_BLOCK_SIZE {
        return Err(broken(format!("block size exponent {log_block_size}")));
    }
    let block_size = 1024_u32 << log_block_size;
    let incompat = u32_at(raw, 0x60);
    let mut blocks = u64::from(u32_at(raw, 0x04));
    if incompat & INCOMPAT_64BIT != 0 {
        blocks |= u64::from(u32_at(raw, 0x150)) << 32;
    }
    let size = blocks
        .checked_mul(u64::from(block_size))
        .filter(|&size| size > 0)
        .ok_or_else(|| broken(format!("{blocks} blocks of {block_size} bytes")))?;
    if size > file_size {
        return Err(SuperblockError::CutShort {
            path: path.to_owned(),
            claimed: size,
            file: file_size,
        });
    }
    let name = &raw[0x78..0x88];
    let name = &name[..name.iter().position(|&b| b == 0).unwrap_or(name.len())];
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&raw[0x68..0x78]);
    Ok(Superblock {
        label: String::from_utf8_lossy(name).into_owned(),
        uuid: Uuid::from_bytes(uuid),
        size,
        block_size,
        has_journal: u32_at(raw, 0x5C) & COMPAT_HAS_JOURNAL != 0,
        needs_recovery: incompat & INCOMPAT_RECOVER != 0,
    })
}

fn u16_at(raw: &[u8; LEN], at: usize) -> u16 {
    u16::from_le_bytes([raw[at], raw[at + 1]])
}

fn u32_at(raw: &[u8; LEN], at: usize) -> u32 {
    u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> [u8; LEN] {
        let mut raw = [0; LEN];
        raw[0x38..0x3A].copy_from_slice(&MAGIC.to_le_bytes());
        raw[0x04..0x08].copy_from_slice(&2048_u32.to_le_bytes());
        raw[0x18..0x1C].copy_from_slice(&2_u32.to_le_bytes());
        raw[0x78..0x7C].copy_from_slice(b"seed");
        raw
    }

    fn decoded(raw: &[u8; LEN], file_size: u64) -> Result<Superblock, SuperblockError> {
        decode(raw, file_size, Path::new("seed.ext4"))
    }

    #[test]
    fn label_and_size_are_read() {
        let read = decoded(&sample(), 8 << 20).unwrap();
        assert_eq!((read.label.as_str(), read.size), ("seed", 8 << 20));
    }

    #[test]
    fn a_file_without_the_magic_is_not_ext4() {
        let mut raw = sample();
        raw[0x38] = 0;
        assert!(matches!(
            decoded(&raw, 8 << 20),
            Err(SuperblockError::NotExt4 { .. })
        ));
    }

    #[test]
    fn a_file_system_larger_than_its_file_names_both_sizes() {
        let refused = decoded(&sample(), 4 << 20).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "seed.ext4 is cut short: its file system has 8388608 bytes, the file has 4194304"
        );
    }

    #[test]
    fn impossible_block_sizes_and_counts_are_refused() {
        let mut huge_blocks = sample();
        huge_blocks[0x18..0x1C].copy_from_slice(&40_u32.to_le_bytes());
        assert!(matches!(
            decoded(&huge_blocks, 8 << 20),
            Err(SuperblockError::Broken { .. })
        ));

        let mut overflow = sample();
        overflow[0x04..0x08].copy_from_slice(&u32::MAX.to_le_bytes());
        overflow[0x60..0x64].copy_from_slice(&INCOMPAT_64BIT.to_le_bytes());
        overflow[0x150..0x154].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            decoded(&overflow, 8 << 20),
            Err(SuperblockError::Broken { .. })
        ));

        let mut empty = sample();
        empty[0x04..0x08].fill(0);
        assert!(matches!(
            decoded(&empty, 8 << 20),
            Err(SuperblockError::Broken { .. })
        ));
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..2000 {
            let mut raw = [0; LEN];
            for byte in &mut raw {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            }
            raw[0x38..0x3A].copy_from_slice(&MAGIC.to_le_bytes());
            let answer = decoded(&raw, u64::MAX);
            assert!(answer.is_ok() || matches!(answer, Err(SuperblockError::Broken { .. })));
        }
    }
}
