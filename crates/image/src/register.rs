//! Adds a root file system that the user has: a disk image, a folder or an archive, with an optional work seed.

use std::fs;
use std::path::{Path, PathBuf};

use banger_disk::superblock::{self, SuperblockError};
use banger_disk::tree::Tree;

use crate::error::ImageError;
use crate::metadata::{ImageMetadata, ImageOrigin};
use crate::progress::{Stage, Watch};
use crate::store::{Destination, Seed, copy_image, give_to_root, read_archive, write_image};

/// What is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFs {
    /// An ext4 image, a folder, or a tar archive (plain, gzip, xz or zstd).
    pub rootfs: PathBuf,
    /// What new work disks start from: one of the same kinds.
    pub work_seed: Option<PathBuf>,
    /// Size of the seed's file system in bytes, when it is made of a folder or an archive; what fits when `None`.
    pub seed_size: Option<u64>,
}

/// What a path holds.
enum Input {
    Disk,
    Folder,
    Archive,
}

/// Copies a root file system in. Compressed archives are unpacked to a file without a name in `scratch`.
///
/// # Errors
/// Something cannot be read or is of no known kind, or the image cannot be written. The destination then has no
/// `image.json`; the caller removes it.
pub fn register(
    root: &RootFs,
    destination: &Destination<'_>,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let input = kind_of(&root.rootfs)?;
    // Before anything is written: what the seed is, and that it can be read.
    let seed = root
        .work_seed
        .as_deref()
        .map(|path| read_seed(path, root.seed_size, scratch, watch))
        .transpose()?;
    let seed = seed.as_ref().map(|seed| match seed {
        SeedInput::Disk(path) => Seed::Disk(path),
        SeedInput::Tree(tree) => Seed::Tree(tree, root.seed_size),
    });
    let origin = |kind: &str| ImageOrigin {
        kind: kind.to_owned(),
        name: root.rootfs.display().to_string(),
    };
    match input {
        Input::Disk => {
            refuse_unclean(&root.rootfs)?;
            copy_image(&root.rootfs, origin("disk"), seed, destination, watch)
        }
        Input::Folder => write_image(
            &read_folder(&root.rootfs, watch)?,
            origin("directory"),
            seed,
            destination,
            watch,
        ),
        Input::Archive => {
            let tree = read_archive(&root.rootfs, scratch, watch)?;
            write_image(&tree, origin("tar"), seed, destination, watch)
        }
    }
}

enum SeedInput {
    Disk(PathBuf),
    Tree(Box<Tree>),
}

fn read_seed(
    path: &Path,
    size: Option<u64>,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<SeedInput, ImageError> {
    let unsuitable = |why: &str| {
        Err(ImageError::Unsuitable {
            path: path.to_path_buf(),
            why: why.to_owned(),
        })
    };
    match kind_of(path)? {
        Input::Disk if size.is_some() => {
            unsuitable("a work seed that is a disk image keeps its own size; leave the size out")
        }
        Input::Disk => Ok(SeedInput::Disk(path.to_path_buf())),
        Input::Folder => seed_of(read_folder_unchecked(path, watch)?),
        Input::Archive => seed_of(read_archive(path, scratch, watch)?),
    }
}

fn seed_of(mut tree: Tree) -> Result<SeedInput, ImageError> {
    give_to_root(&mut tree)?;
    Ok(SeedInput::Tree(Box::new(tree)))
}

fn read_folder(path: &Path, watch: &mut Watch<'_>) -> Result<Tree, ImageError> {
    let tree = read_folder_unchecked(path, watch)?;
    if tree.entry_count() == 0 {
        return Err(ImageError::Unsuitable {
            path: path.to_path_buf(),
            why: "it is empty".to_owned(),
        });
    }
    Ok(tree)
}

fn read_folder_unchecked(path: &Path, watch: &mut Watch<'_>) -> Result<Tree, ImageError> {
    watch.report(Stage::ReadTree, path.display().to_string(), 0, 0);
    let tree = banger_oci::tree_from_dir(path)?;
    watch.check()?;
    Ok(tree)
}

fn kind_of(path: &Path) -> Result<Input, ImageError> {
    let metadata = fs::metadata(path).map_err(|source| ImageError::io("read", path, source))?;
    if metadata.is_dir() {
        return Ok(Input::Folder);
    }
    if !metadata.is_file() {
        let why = "neither a file nor a folder".to_owned();
        return Err(ImageError::Unsuitable {
            path: path.to_path_buf(),
            why,
        });
    }
    match superblock::read(path) {
        Ok(_) => Ok(Input::Disk),
        // The archive's reader says better than we could what is wrong with what is no archive either.
        Err(SuperblockError::NotExt4 { .. }) => Ok(Input::Archive),
        Err(error) => Err(error.into()),
    }
}

/// A base is mounted read-only on a read-only disk, where the kernel cannot replay a journal.
fn refuse_unclean(path: &Path) -> Result<(), ImageError> {
    if superblock::read(path)?.needs_recovery {
        let why = "it was not unmounted cleanly, and a read-only base cannot be repaired: run `e2fsck -f` on a copy of it".to_owned();
        return Err(ImageError::Unsuitable {
            path: path.to_path_buf(),
            why,
        });
    }
    Ok(())
}
