//! A new work disk of its full size, written from a small work seed: its guest then has no file system to grow. This
//! saves an emulated guest some 70 ms of its first start.
//!
//! ```text
//!  seed.ext4, ours and small ─► tree ─► work disk of any size
//!  any other seed ────────────────────► none: the caller clones it, and the guest's kernel grows it
//! ```

use std::ops::ControlFlow;
use std::path::Path;

use banger_disk::{ImageOptions, read_tree, write_tree};
use uuid::Uuid;

use crate::disks;
use crate::error::ImageError;
use crate::metadata::{ImageMetadata, SEED};

/// UUID of every file system that starts from a seed: a guest sees one, and equal trees must give equal bytes.
const SEED_UUID: Uuid = Uuid::from_u128(0x6261_6e67_6572_4265_8173_6500_0000_0002);
/// Largest seed that is written again rather than cloned, by its allocated bytes: above this, cloning and growing is
/// faster.
const SMALL_BYTES: u64 = 4 << 20;

/// Options of a file system for `/root`.
pub(crate) fn options(bytes: u64) -> Result<ImageOptions, ImageError> {
    Ok(ImageOptions::seed(
        bytes,
        disks::label("banger-work")?,
        SEED_UUID,
    ))
}

/// Writes the new work disk `path` (mode 0600, not synced) with the files of the work seed in the image's `folder` and
/// a file system of `bytes` bytes. Returns `false`, and leaves nothing at `path`, for a seed that banger did not write
/// or a large one: clone these.
///
/// # Errors
/// The image or its seed cannot be read, or the disk cannot be written; nothing is left at `path` then.
pub fn write_work_disk(folder: &Path, path: &Path, bytes: u64) -> Result<bool, ImageError> {
    let metadata = ImageMetadata::read(folder)?;
    let small = metadata
        .seed
        .is_some_and(|seed| seed.bytes < bytes && seed.allocated_bytes <= SMALL_BYTES);
    if !small || !metadata.seed_is_ours {
        return Ok(false);
    }
    let tree = read_tree(&folder.join(SEED))?;
    write_tree(&tree, path, &options(bytes)?, &mut |_| {
        ControlFlow::Continue(())
    })?;
    Ok(true)
}
