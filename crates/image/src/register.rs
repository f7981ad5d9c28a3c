//! Registration of a user's root file system: a disk image, a folder or an archive, with an optional work seed.

use std::path::{Path, PathBuf};

use banger_disk::superblock;
use banger_disk::tree::Tree;

use crate::error::ImageError;
use crate::input::{Input, kind_of, read_archive, read_folder};
use crate::metadata::{ImageMetadata, OriginKind};
use crate::progress::Watch;
use crate::seed::WorkSeed;
use crate::store::{Destination, Parts, copy_image, write_image};

/// A root file system to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFs {
    /// An ext4 image, a folder, or a tar archive (plain, gzip, xz or zstd).
    pub rootfs: PathBuf,
    /// The initial content of new work disks.
    pub seed: WorkSeed,
}

/// Copies a root file system in. Compressed archives are unpacked to an unnamed file in `scratch`.
///
/// # Errors
/// Something cannot be read or has an unknown format, or the image cannot be written. The destination then has no
/// `image.json`; the caller removes it.
pub fn register(
    root: &RootFs,
    destination: &Destination<'_>,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let name = root.rootfs.display().to_string();
    let (kind, files) = match kind_of(&root.rootfs)? {
        Input::Disk => {
            refuse_unclean(&root.rootfs)?;
            // The seed is read before anything is written, so that its errors come first; the same below.
            let seed = root.seed.read(None, scratch, watch)?;
            let parts = Parts::plain(OriginKind::Disk, name, seed);
            return copy_image(&root.rootfs, parts, destination, watch);
        }
        Input::Folder => (OriginKind::Directory, read_folder(&root.rootfs, watch)?),
        Input::Archive => (OriginKind::Tar, read_archive(&root.rootfs, scratch, watch)?),
    };
    let tree = &files.tree;
    refuse_what_is_no_root(tree, &root.rootfs)?;
    let seed = root.seed.read(Some(tree), scratch, watch)?;
    let parts = Parts {
        warnings: files.losses.sentences(),
        ..Parts::plain(kind, name, seed)
    };
    write_image(tree, parts, destination, watch)
}

fn refuse_what_is_no_root(tree: &Tree, path: &Path) -> Result<(), ImageError> {
    let unsuitable = |why: &str| {
        Err(ImageError::Unsuitable {
            path: path.to_path_buf(),
            why: why.to_owned(),
        })
    };
    let has = |name: &[u8]| tree.lookup(tree.root(), name).is_some();
    if tree.entry_count() == 0 {
        return unsuitable("it is empty");
    }
    let layout = has(b"oci-layout") && has(b"index.json");
    let saved = has(b"manifest.json") && !has(b"bin") && !has(b"usr") && !has(b"etc");
    if layout || saved {
        return unsuitable(
            "it is a container image, not a root file system: use `banger image pull` with its path",
        );
    }
    Ok(())
}

/// Refuses a disk image that was not unmounted cleanly: its base is read-only, so no kernel can replay the journal.
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
