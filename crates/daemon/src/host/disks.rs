//! Disk images.

use std::path::Path;

use banger_api::{ApiError, ErrorCode};
use banger_disk::top::{self, TopError};
use banger_disk::{BlankDisk, Templates, sparse};
use banger_ops::{BlankDiskSpec, HostResult};

use super::{files, making};
use crate::failure;

pub(super) fn make_blank(
    templates: &Templates,
    path: &Path,
    disk: &BlankDiskSpec,
) -> HostResult<()> {
    let blank = BlankDisk::new(disk.bytes, &disk.label, disk.uuid)
        .map_err(|error| ApiError::new(ErrorCode::InvalidArgument, failure::chain(&error)))?;
    // What a crash left at this place is ours: its directory is claimed by this VM.
    files::remove_file(path)?;
    templates
        .create(&blank, path)
        .map(|_file| ())
        .map_err(|error| failure::of_disk(&error))
}

pub(super) fn clone_file(from: &Path, to: &Path) -> HostResult<()> {
    files::remove_file(to)?;
    sparse::clone_file(from, to)
        .map(|_clone| ())
        .map_err(|error| failure::of_disk(&error))
}

/// The seed lies in its image's folder.
pub(super) fn write_seeded(seed: &Path, path: &Path, bytes: u64) -> HostResult<bool> {
    let Some(folder) = seed.parent() else {
        return Ok(false);
    };
    files::remove_file(path)?;
    banger_image::write_work_disk(folder, path, bytes).map_err(|error| making::of_image(&error))
}

pub(super) fn make_top(path: &Path, bytes: u64) -> HostResult<()> {
    files::remove_file(path)?;
    top::make(path, bytes)
        .map(|_file| ())
        .map_err(|error| of_top(&error))
}

pub(super) fn grow_top(path: &Path, bytes: u64) -> HostResult<()> {
    top::grow(path, bytes).map_err(|error| of_top(&error))
}

fn of_top(error: &TopError) -> ApiError {
    match error {
        TopError::Io {
            attempt,
            path,
            source,
        } => files::failed(attempt, path, source),
        TopError::TooLarge { .. } | TopError::Uneven { .. } => {
            ApiError::new(ErrorCode::InvalidArgument, error.to_string())
        }
        TopError::NoTop { .. } => ApiError::new(ErrorCode::Internal, error.to_string()),
    }
}

pub(super) fn grow_file(path: &Path, bytes: u64) -> HostResult<()> {
    if files::file_len(path)?.is_some_and(|len| len >= bytes) {
        return Ok(());
    }
    sparse::grow(path, bytes)
        .map(|_before| ())
        .map_err(|error| failure::of_disk(&error))
}
