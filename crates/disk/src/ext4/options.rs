//! Options of an image, and the result of its writing.

use std::fs::File;

use uuid::Uuid;

use crate::label::Label;

/// 2026-01-01T00:00:00Z in seconds: the time of creation in superblocks, and of the root of empty disks.
pub const EPOCH: u32 = 1_767_225_600;
/// UUID of every base. A guest sees one base, and equal layers must give equal bytes.
pub const BASE_UUID: Uuid = Uuid::from_u128(0x6261_6e67_6572_4262_8173_6500_0000_0001);

/// Size of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSize {
    /// As large as its contents need, without spare room: for read-only use.
    Fit,
    /// So many bytes. A rest below 4096 bytes, and a last group too short to be useful, stay outside of the file system
    /// but inside of the file.
    Exactly(u64),
}

/// Options of an image.
#[derive(Debug, Clone)]
pub struct ImageOptions {
    /// Its size.
    pub size: ImageSize,
    /// Its volume label.
    pub label: Label,
    /// Its UUID.
    pub uuid: Uuid,
    /// True for a journal: an image that will be written to needs one.
    pub journal: bool,
    /// True to compute the SHA-256 of the file while it is written. Holes are hashed as well: for images that fit.
    pub digest: bool,
}

impl ImageOptions {
    /// A base: read-only, as small as it can be, the same bytes for the same tree.
    pub fn base(label: Label) -> Self {
        Self {
            size: ImageSize::Fit,
            label,
            uuid: BASE_UUID,
            journal: false,
            digest: true,
        }
    }

    /// A work seed, or any disk that will be written: `size` bytes, with a journal.
    pub fn seed(size: u64, label: Label, uuid: Uuid) -> Self {
        Self {
            size: ImageSize::Exactly(size),
            label,
            uuid,
            journal: true,
            digest: false,
        }
    }
}

/// Progress of the writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the image that are written.
    pub done: u64,
    /// Bytes that will be written.
    pub total: u64,
}

/// A finished image.
#[derive(Debug)]
pub struct WrittenImage {
    /// The file, open for writing, not synced.
    pub file: File,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes written, holes not counted.
    pub bytes_written: u64,
    /// Names in it, the root not counted.
    pub entries: u64,
    /// SHA-256 of the file, if it was requested: the same as `sha256sum` prints.
    pub digest: Option<[u8; 32]>,
}
