//! Sharing of equal bases: one file for two images, by a hard link.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use banger_disk::sparse;

use crate::error::ImageError;
use crate::metadata::{BASE, ImageMetadata};
use crate::progress::{Stage, Watch};

/// Name of the link until it replaces the written file.
const LINK: &str = "base.ext4.shared";
/// Bytes that are compared between two cancel checks.
const STEP: usize = 1 << 20;

/// Replaces the base of the image in `folder` with a link to an equal one of an image below `images`, if there is one.
/// Digests find it, and every byte is compared before the link is made. Returns true when it is shared now.
///
/// # Errors
/// The image in `folder` cannot be read or changed. Broken other images, and places that cannot share a file, are no
/// error.
pub fn share_base(folder: &Path, images: &Path, watch: &mut Watch<'_>) -> Result<bool, ImageError> {
    let own = ImageMetadata::read(folder)?;
    let base = folder.join(BASE);
    let others = fs::read_dir(images).map_err(|source| ImageError::io("read", images, source))?;
    for other in others.flatten().map(|entry| entry.path()) {
        let equal = |known: &ImageMetadata| {
            known.base.digest == own.base.digest && known.base.bytes == own.base.bytes
        };
        // An image that is being written, removed or is broken is skipped.
        if !ImageMetadata::read(&other).is_ok_and(|known| equal(&known)) {
            continue;
        }
        watch.report(Stage::Sync, "sharing an equal base", 0, 0);
        match link(&base, &other.join(BASE), &folder.join(LINK), watch) {
            Ok(true) => {
                return banger_durable::sync_folder(folder)
                    .map(|()| true)
                    .map_err(|source| ImageError::io("sync", folder, source));
            }
            // The file systems cannot share, or the file is being removed: two files are fine as well.
            Ok(false) | Err(_) => watch.check()?,
        }
    }
    Ok(false)
}

/// Replaces `ours` with a link to `theirs`, by way of `link`, when the two are equal.
fn link(ours: &Path, theirs: &Path, link: &Path, watch: &Watch<'_>) -> io::Result<bool> {
    let (own, other) = (fs::metadata(ours)?, fs::metadata(theirs)?);
    if (own.dev(), own.ino()) == (other.dev(), other.ino()) {
        return Ok(true);
    }
    if own.dev() != other.dev() || own.len() != other.len() || !equal(ours, theirs, watch)? {
        return Ok(false);
    }
    fs::hard_link(theirs, link)?;
    fs::rename(link, ours)?;
    Ok(true)
}

fn equal(one: &Path, other: &Path, watch: &Watch<'_>) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    let (mut of_one, of_other) = (data(&one)?, data(&other)?);
    // A range with data in one file and a hole in the other must be zeros.
    if of_one != of_other {
        of_one.extend(of_other);
    }
    let (mut left, mut right) = (vec![0; STEP], vec![0; STEP]);
    for (start, length) in of_one {
        for at in (start..start + length).step_by(STEP) {
            if watch.check().is_err() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let step = usize::try_from(start + length - at).map_or(STEP, |rest| rest.min(STEP));
            one.read_exact_at(&mut left[..step], at)?;
            other.read_exact_at(&mut right[..step], at)?;
            if left[..step] != right[..step] {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Runs of data in a file: offset and length in bytes.
fn data(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let (mut extents, mut at) = (Vec::new(), 0);
    while let Some((start, length)) = sparse::next_data(file, at)? {
        extents.push((start, length));
        at = start + length;
    }
    Ok(extents)
}
