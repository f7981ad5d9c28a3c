//! A base that another image has already: one file for both, by a hard link.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use banger_disk::sparse;

use crate::error::ImageError;
use crate::metadata::{BASE, ImageMetadata};
use crate::progress::{Stage, Watch};

/// The link until it takes the place of the file that was written.
const LINK: &str = "base.ext4.shared";
/// Compared between two cancel checks, bytes.
const STEP: usize = 1 << 20;

/// Lets the base of the image in `folder` be the file of an image below `images` that has an equal one, when there is one:
/// digests find it, and every byte is compared before it is believed. Whether it is shared now.
///
/// # Errors
/// The image in `folder` cannot be read or changed. What is wrong with others is no error, nor that two places cannot
/// share a file.
pub fn share_base(folder: &Path, images: &Path, watch: &mut Watch<'_>) -> Result<bool, ImageError> {
    let own = ImageMetadata::read(folder)?;
    let base = folder.join(BASE);
    let others = fs::read_dir(images).map_err(|source| ImageError::io("read", images, source))?;
    for other in others.flatten().map(|entry| entry.path()) {
        let equal = |known: &ImageMetadata| {
            known.base.digest == own.base.digest && known.base.bytes == own.base.bytes
        };
        // An image that is on its way in or out, or broken, is none to share with.
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
            // A disk that cannot share, or a file that is going: two files are all right, too.
            Ok(false) | Err(_) => watch.check()?,
        }
    }
    Ok(false)
}

/// Puts a link to `theirs` in the place of `ours`, by way of `link`, when the two are equal.
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
    // Where one has data and the other a hole, that must be zeros.
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

/// Where a file has data: begin and length, bytes.
fn data(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let (mut extents, mut at) = (Vec::new(), 0);
    while let Some((start, length)) = sparse::next_data(file, at)? {
        extents.push((start, length));
        at = start + length;
    }
    Ok(extents)
}
