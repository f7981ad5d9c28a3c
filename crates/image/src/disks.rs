//! The disk images of an image's folder: written from a tree or copied in, read-only, synced.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use banger_disk::tree::Tree;
use banger_disk::{ImageOptions, Label, WriteError, WrittenImage, sparse, superblock};
use sha2::{Digest, Sha256};

use crate::error::ImageError;
use crate::metadata::DiskRecord;
use crate::progress::{Stage, Watch};

/// Unit of a block digest, in bytes.
const BLOCK_BYTES: usize = 4096;
/// Bytes that are read between two cancel checks.
const STEP_BYTES: usize = 1 << 20;

/// A volume label.
pub(crate) fn label(text: &str) -> Result<Label, ImageError> {
    // banger's own labels fit; the error names the label.
    Label::new(text).map_err(|source| ImageError::Label { source })
}

/// Writes a tree as a new disk image called `name` in `folder`.
pub(crate) fn write(
    tree: &Tree,
    folder: &Path,
    name: &str,
    options: &ImageOptions,
    stage: Stage,
    watch: &mut Watch<'_>,
) -> Result<DiskRecord, ImageError> {
    let path = folder.join(name);
    let written = banger_disk::write_tree(tree, &path, options, &mut |progress| {
        watch.report(stage, name, progress.done, progress.total);
        watch.flow()
    });
    let WrittenImage { file, digest, .. } = written.map_err(|source| match source {
        WriteError::Cancelled => ImageError::Cancelled,
        source => source.into(),
    })?;
    let digest = match digest {
        Some(digest) => format!("sha256:{}", banger_durable::hex(&digest)),
        None => block_digest(
            &File::open(&path).map_err(|source| ImageError::io("read", &path, source))?,
            &path,
            watch,
        )?,
    };
    finish(&file, folder, name, digest, watch)
}

/// Copies a disk image of the user's, keeping holes, under `name` into `folder`.
pub(crate) fn copy(
    from: &Path,
    folder: &Path,
    name: &str,
    watch: &mut Watch<'_>,
) -> Result<DiskRecord, ImageError> {
    watch.report(Stage::CopyImage, from.display().to_string(), 0, 0);
    let path = folder.join(name);
    let file = sparse::clone_file(from, &path)?.file;
    watch.check()?;
    // Checked again on the copy, which no other process writes to.
    superblock::read(&path)?;
    let copied = File::open(&path).map_err(|source| ImageError::io("read", &path, source))?;
    let digest = block_digest(&copied, &path, watch)?;
    finish(&file, folder, name, digest, watch)
}

fn finish(
    file: &File,
    folder: &Path,
    name: &str,
    digest: String,
    watch: &mut Watch<'_>,
) -> Result<DiskRecord, ImageError> {
    let path = folder.join(name);
    watch.report(Stage::Sync, name, 0, 0);
    let read_only = Permissions::from_mode(banger_durable::SHARED_FILE);
    file.set_permissions(read_only)
        .map_err(|source| ImageError::io("protect", &path, source))?;
    file.sync_all()
        .map_err(|source| ImageError::io("sync", &path, source))?;
    let bytes = fs::metadata(&path)
        .map_err(|source| ImageError::io("inspect", &path, source))?
        .len();
    let allocated_bytes = sparse::allocated_bytes(&path)?;
    Ok(DiskRecord {
        file: name.to_owned(),
        bytes,
        allocated_bytes,
        digest,
    })
}

/// The digest of a file's size and of its blocks that are not all zeros, with their places: the same on every file
/// system that keeps holes, and fast when there is little data.
fn block_digest(file: &File, path: &Path, watch: &Watch<'_>) -> Result<String, ImageError> {
    let failed = |source| ImageError::io("read", path, source);
    let size = file.metadata().map_err(failed)?.len();
    let mut hash = Sha256::new();
    hash.update(size.to_le_bytes());
    let (mut at, mut buffer) = (0, vec![0; STEP_BYTES]);
    while let Some((start, length)) = sparse::next_data(file, at).map_err(failed)? {
        // Whole blocks, for any grain of the file system's holes; never one twice.
        let mut from = (start - start % BLOCK_BYTES as u64).max(at);
        let end = (start + length)
            .next_multiple_of(BLOCK_BYTES as u64)
            .min(size);
        while from < end {
            watch.check()?;
            let step = usize::try_from(end - from)
                .unwrap_or(STEP_BYTES)
                .min(STEP_BYTES);
            file.read_exact_at(&mut buffer[..step], from)
                .map_err(failed)?;
            for (place, block) in (from..)
                .step_by(BLOCK_BYTES)
                .zip(buffer[..step].chunks(BLOCK_BYTES))
            {
                if block.iter().any(|byte| *byte != 0) {
                    hash.update(place.to_le_bytes());
                    hash.update(block);
                }
            }
            from += step as u64;
        }
        at = end;
    }
    Ok(format!(
        "sha256-blocks:{}",
        banger_durable::hex(&hash.finalize())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(write: impl FnOnce(&File)) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.as_file());
        block_digest(
            &File::open(&file).unwrap(),
            file.path(),
            &Watch::new(&mut |_| {}, &|| false),
        )
        .unwrap()
    }

    #[test]
    fn a_block_digest_does_not_see_holes() {
        let sparse = digest_of(|file| {
            file.set_len(8 << 20).unwrap();
            file.write_all_at(b"data", 5 << 20).unwrap();
        });
        let full = digest_of(|file| {
            file.write_all_at(&vec![0; 8 << 20], 0).unwrap();
            file.write_all_at(b"data", 5 << 20).unwrap();
        });
        assert_eq!(sparse, full);
    }

    #[test]
    fn a_block_digest_sees_content_place_and_size() {
        let of = |size: u64, at: u64, data: &[u8]| {
            digest_of(|file| {
                file.set_len(size).unwrap();
                file.write_all_at(data, at).unwrap();
            })
        };
        let one = of(1 << 20, 8192, b"x");
        assert_ne!(one, of(1 << 20, 12288, b"x"));
        assert_ne!(one, of(1 << 20, 8192, b"y"));
        assert_ne!(one, of((1 << 20) + 1, 8192, b"x"));
    }
}
