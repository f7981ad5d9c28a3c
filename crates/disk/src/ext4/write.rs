//! The way from a tree to a file.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use super::emission;
use super::error::WriteError;
use super::format::BLOCK_BYTES;
use super::image_file::ImageFile;
use super::options::{ImageOptions, Progress, WrittenImage};
use super::plan::Plan;
use crate::sparse::{create_new, remove_begun};
use crate::tree::Tree;

/// Writes `tree` as a new ext4 image at `path` (mode 0600). `progress` is called about once per MiB and may stop the
/// work by answering `Break`.
///
/// The same tree and options give the same bytes, on any machine and at any time.
///
/// # Errors
/// Fails when `path` exists, the tree does not fit, contents cannot be read, or the file cannot be written. No new file
/// is left at `path` then.
pub fn write_tree(
    tree: &Tree,
    path: &Path,
    options: &ImageOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<WrittenImage, WriteError> {
    let plan = Plan::new(tree, options)?;
    let file = create_new(path).map_err(|source| WriteError::Create {
        path: path.to_owned(),
        source,
    })?;
    let written = fill(&plan, &file, path, options, progress);
    match written {
        Ok((bytes_written, digest)) => Ok(WrittenImage {
            file,
            size: plan.file_size,
            bytes_written,
            entries: tree.entry_count() as u64,
            digest,
        }),
        Err(error) => {
            remove_begun(path);
            Err(error)
        }
    }
}

fn fill(
    plan: &Plan<'_>,
    file: &File,
    path: &Path,
    options: &ImageOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(u64, Option<[u8; 32]>), WriteError> {
    let failed = |source| WriteError::Write {
        path: path.to_owned(),
        source,
    };
    file.set_len(plan.file_size).map_err(failed)?;
    let writer = file.try_clone().map_err(failed)?;
    let total = plan.end * BLOCK_BYTES;
    let mut sink = ImageFile::new(
        writer,
        path,
        plan.file_size,
        total,
        options.digest,
        progress,
    )
    .map_err(failed)?;
    emission::emit(plan, options.label, options.uuid, &mut sink)?;
    sink.finish()
}
