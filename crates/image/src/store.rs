//! From a tree to an image's folder.

use std::path::Path;

use banger_disk::tree::{Attributes, NodeKind, Tree};
use banger_disk::{ImageOptions, Label};
use banger_durable::Sha256Parts;
use jiff::Timestamp;
use uuid::Uuid;

use crate::disks;
use crate::error::ImageError;
use crate::init::InitSystem;
use crate::metadata::{BASE, DiskRecord, FORMAT, ImageMetadata, ImageOrigin, RunDefaults, SEED};
use crate::progress::{Stage, Watch};

/// UUID of every seed that banger writes, for equal bytes from equal trees.
const SEED_UUID: Uuid = Uuid::from_u128(0x6261_6e67_6572_4265_8173_6500_0000_0002);
/// Room in a seed beyond its files, in bytes: it is grown to the size of the VM's work disk anyway.
const SEED_ROOM: u64 = 64 << 20;

/// Where an image goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// An existing, empty folder.
    pub folder: &'a Path,
    /// The time to record.
    pub created_at: Timestamp,
}

/// A work seed to make.
pub(crate) enum Seed<'a> {
    /// A disk image to copy in.
    Disk(&'a Path),
    /// A tree to write, and the size of its file system when the user gave one, in bytes.
    Tree(&'a Tree, Option<u64>),
}

pub(crate) fn read_archive(
    archive: &Path,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<Tree, ImageError> {
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

pub(crate) fn write_image(
    tree: &Tree,
    origin: ImageOrigin,
    seed: Option<Seed<'_>>,
    destination: &Destination<'_>,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let options = ImageOptions::base(label("banger-base")?);
    let base = disks::write(
        tree,
        destination.folder,
        BASE,
        &options,
        Stage::WriteBase,
        watch,
    )?;
    let entries = Some(tree.entry_count() as u64);
    describe(
        base,
        entries,
        InitSystem::of(tree),
        origin,
        seed,
        destination,
        watch,
    )
}

pub(crate) fn copy_image(
    disk: &Path,
    origin: ImageOrigin,
    seed: Option<Seed<'_>>,
    destination: &Destination<'_>,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let base = disks::copy(disk, destination.folder, BASE, watch)?;
    describe(
        base,
        None,
        InitSystem::Unknown,
        origin,
        seed,
        destination,
        watch,
    )
}

fn describe(
    base: DiskRecord,
    entries: Option<u64>,
    init: InitSystem,
    source: ImageOrigin,
    seed: Option<Seed<'_>>,
    destination: &Destination<'_>,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let seed = seed
        .map(|seed| write_seed(seed, destination.folder, watch))
        .transpose()?;
    let id = content_id(&base, seed.as_ref());
    let created_at = destination.created_at;
    let metadata = ImageMetadata {
        format: FORMAT,
        id,
        created_at,
        source,
        init,
        entries,
        base,
        seed,
        defaults: RunDefaults::default(),
    };
    watch.check()?;
    metadata.write(destination.folder)?;
    Ok(metadata)
}

fn write_seed(
    seed: Seed<'_>,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<DiskRecord, ImageError> {
    match seed {
        Seed::Disk(path) => disks::copy(path, folder, SEED, watch),
        Seed::Tree(tree, size) => {
            let size = size.unwrap_or_else(|| comfortable_size(tree));
            let options = ImageOptions::seed(size, label("banger-work")?, SEED_UUID);
            disks::write(tree, folder, SEED, &options, Stage::WriteSeed, watch)
        }
    }
}

/// Contents, a quarter more, an inode and a name for each entry, and some room; whole MiB.
fn comfortable_size(tree: &Tree) -> u64 {
    let contents = tree.content_bytes() + tree.entry_count() as u64 * 8192;
    (contents + contents / 4 + SEED_ROOM).next_multiple_of(1 << 20)
}

fn label(text: &str) -> Result<Label, ImageError> {
    // Ours fit; an error here names the label.
    Label::new(text).map_err(|source| ImageError::Label { source })
}

/// The base's own digest, when it alone says all.
fn content_id(base: &DiskRecord, seed: Option<&DiskRecord>) -> String {
    if seed.is_none() && base.digest.starts_with("sha256:") {
        return base.digest.clone();
    }
    let mut digest = Sha256Parts::default();
    digest.add(&base.digest);
    if let Some(seed) = seed {
        digest.add(&seed.digest);
    }
    digest.finish()
}

/// Makes a user's folder fit to be `/root`: its root is root:root 0755, so that sshd accepts it, and what belonged to the
/// folder's owner on the host belongs to root.
pub(crate) fn give_to_root(tree: &mut Tree) -> Result<(), ImageError> {
    let failed = |source| ImageError::Change {
        path: "/".to_owned(),
        source,
    };
    let owner = *tree.node(tree.root()).attributes;
    let mut left = vec![tree.root()];
    while let Some(node) = left.pop() {
        let mut attributes = *tree.node(node).attributes;
        if attributes.uid == owner.uid {
            attributes.uid = 0;
        }
        if attributes.gid == owner.gid {
            attributes.gid = 0;
        }
        tree.set_attributes(node, attributes).map_err(failed)?;
        if matches!(tree.node(node).kind, NodeKind::Directory) {
            left.extend(tree.children(node).map(|child| child.node));
        }
    }
    let root = tree.root();
    let attributes = Attributes {
        mtime: owner.mtime,
        ..Attributes::root(0o755)
    };
    tree.set_attributes(root, attributes).map_err(failed)
}
