//! Inputs of users: disk images, folders and archives of their own, told apart and read.

use std::fs::{self, File};
use std::path::Path;

use banger_disk::foreign::{self, Foreign, Partition};
use banger_disk::superblock::{self, SuperblockError};
use banger_oci::Files;

use crate::error::ImageError;
use crate::progress::{Stage, Watch};

/// Type of an input.
pub(crate) enum Input {
    Disk,
    Folder,
    Archive,
}

pub(crate) fn kind_of(path: &Path) -> Result<Input, ImageError> {
    let metadata = fs::metadata(path).map_err(|source| ImageError::io("read", path, source))?;
    if metadata.is_dir() {
        return Ok(Input::Folder);
    }
    if !metadata.is_file() {
        return Err(unsuitable(path, "neither a file nor a folder".to_owned()));
    }
    match superblock::read(path) {
        Ok(_) => Ok(Input::Disk),
        Err(SuperblockError::NotExt4 { .. }) => archive(path),
        Err(error) => Err(error.into()),
    }
}

/// Takes a file that is not an ext4 image for an archive, unless it has another known format: the archive's reader
/// explains best what is wrong with it.
fn archive(path: &Path) -> Result<Input, ImageError> {
    let failed = |source| ImageError::io("read", path, source);
    let file = File::open(path).map_err(failed)?;
    match foreign::recognise(&file).map_err(failed)? {
        None => Ok(Input::Archive),
        Some(known) => {
            let why = format!("it is {known}: {}", way(&known, path));
            Err(unsuitable(path, why))
        }
    }
}

/// Advice for a file of an unsupported format.
fn way(known: &Foreign, path: &Path) -> String {
    let path = path.display();
    match known {
        Foreign::Disk(format) => format!(
            "make a plain one of it with `qemu-img convert -f {format} -O raw {path} disk.raw` and register that; when it has \
             partitions, that says which"
        ),
        Foreign::Partitioned(partitions) => partitioned(partitions, &path.to_string()),
        Foreign::FileSystem("squashfs") => {
            format!("unpack it with `unsquashfs -d rootfs {path}` and register the folder")
        }
        Foreign::FileSystem(_) => {
            "only ext4 is taken as it is: mount it and register the folder, or an archive of it"
                .to_owned()
        }
        Foreign::Archive(_) => {
            "unpack it and register the folder, or a tar archive of it".to_owned()
        }
    }
}

fn partitioned(partitions: &[Partition], path: &str) -> String {
    let ours: Vec<_> = partitions.iter().filter(|part| part.is_ext4).collect();
    let take = |part: &Partition| {
        format!(
            "`dd if={path} of=root.ext4 bs=1M iflag=skip_bytes,count_bytes skip={} count={}`",
            part.start, part.len
        )
    };
    match ours[..] {
        [] => "none of its partitions is ext4: mount the one with the root file system, and register the folder".to_owned(),
        [only] => format!(
            "partition {} holds an ext4 file system; take it out with {} and register that",
            only.number,
            take(only)
        ),
        _ => {
            let told: Vec<_> = ours
                .iter()
                .map(|part| format!("partition {} ({} MiB): {}", part.number, part.len >> 20, take(part)))
                .collect();
            format!(
                "take the ext4 partition with the root file system out and register that; {}",
                told.join("; ")
            )
        }
    }
}

fn unsuitable(path: &Path, why: String) -> ImageError {
    ImageError::Unsuitable {
        path: path.to_path_buf(),
        why,
    }
}

pub(crate) fn read_folder(path: &Path, watch: &mut Watch<'_>) -> Result<Files, ImageError> {
    watch.report(Stage::ReadTree, path.display().to_string(), 0, 0);
    let files = banger_oci::tree_from_dir(path)?;
    watch.check()?;
    Ok(files)
}

pub(crate) fn read_archive(
    archive: &Path,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<Files, ImageError> {
    let name = archive.display().to_string();
    watch.report(Stage::ReadTree, name.clone(), 0, 0);
    let read = banger_oci::tree_from_archive(
        archive,
        scratch,
        banger_oci::Limits::default(),
        &mut |done| {
            watch.report(Stage::ReadTree, name.clone(), done, 0);
            watch.flow()
        },
    );
    read.map_err(|error| {
        if watch.check().is_err() {
            ImageError::Cancelled
        } else {
            error.into()
        }
    })
}
