//! The way from a tree to an image's folder.

use std::fs;
use std::path::Path;

use banger_disk::ImageOptions;
use banger_disk::tree::Tree;
use banger_durable::Sha256Parts;
use jiff::Timestamp;

use crate::defaults::RunDefaults;
use crate::disks;
use crate::error::ImageError;
use crate::init::InitSystem;
use crate::lookup::follow;
use crate::metadata::{
    BASE, DiskRecord, FORMAT, ImageMetadata, ImageOrigin, METADATA, OriginKind, SEED,
};
use crate::progress::{Stage, Watch};
use crate::provenance::Provenance;
use crate::seed::{Chosen, Seed};
use crate::work_disk;

/// Room in a seed beyond its files, in bytes. A clone grows to the size of the VM's work disk anyway, but its journal
/// keeps its size: with this room it gets 16 MiB.
const SEED_ROOM: u64 = 128 << 20;

/// The program that loads profiles of AppArmor into the kernel.
const APPARMOR_PARSER: &str = "sbin/apparmor_parser";

/// Folder and time of a new image.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// An existing, empty folder.
    pub folder: &'a Path,
    /// The time to record.
    pub created_at: Timestamp,
}

/// Parts of an image besides its base.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) origin: ImageOrigin,
    pub(crate) defaults: RunDefaults,
    pub(crate) provenance: Option<Provenance>,
    pub(crate) seed: Chosen,
    /// Warnings for the user from its making.
    pub(crate) warnings: Vec<String>,
}

impl Parts {
    /// Parts of an image without a configuration of its own.
    pub(crate) fn plain(kind: OriginKind, name: String, seed: Chosen) -> Self {
        Self {
            origin: ImageOrigin { kind, name },
            defaults: RunDefaults::default(),
            provenance: None,
            seed,
            warnings: Vec::new(),
        }
    }
}

/// The base of an image, before its description is written.
pub(crate) struct Base {
    pub(crate) disk: DiskRecord,
    pub(crate) entries: Option<u64>,
    pub(crate) init: InitSystem,
    pub(crate) apparmor_parser: Option<bool>,
}

pub(crate) fn write_image(
    tree: &Tree,
    parts: Parts,
    destination: &Destination<'_>,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let options = ImageOptions::base(disks::label("banger-base")?);
    let disk = disks::write(
        tree,
        destination.folder,
        BASE,
        &options,
        Stage::WriteBase,
        watch,
    )?;
    let base = Base {
        disk,
        entries: Some(tree.entry_count() as u64),
        init: InitSystem::of(tree),
        apparmor_parser: Some(follow(tree, APPARMOR_PARSER).is_some()),
    };
    describe(base, parts, destination, watch)
}

pub(crate) fn copy_image(
    disk: &Path,
    parts: Parts,
    destination: &Destination<'_>,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let base = Base {
        disk: disks::copy(disk, destination.folder, BASE, watch)?,
        entries: None,
        init: InitSystem::Unknown,
        apparmor_parser: None,
    };
    describe(base, parts, destination, watch)
}

/// Writes the seed and the description beside a base.
pub(crate) fn describe(
    base: Base,
    parts: Parts,
    destination: &Destination<'_>,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let seed_is_ours = match &parts.seed.seed {
        Some(Seed::Tree(..)) => true,
        Some(Seed::Linked { ours, .. }) => *ours,
        Some(Seed::Disk(_)) | None => false,
    };
    let seed_choice = parts.seed.by;
    let mut warnings = parts.warnings;
    let of_seed = parts.seed.losses.sentences();
    warnings.extend(of_seed.iter().map(|told| format!("work seed: {told}")));
    let seed = parts
        .seed
        .seed
        .map(|seed| write_seed(&seed, destination.folder, watch))
        .transpose()?;
    let mut metadata = ImageMetadata {
        format: FORMAT,
        id: String::new(),
        created_at: destination.created_at,
        source: parts.origin,
        init: base.init,
        apparmor_parser: base.apparmor_parser,
        entries: base.entries,
        base: base.disk,
        seed,
        seed_is_ours,
        seed_choice,
        defaults: parts.defaults,
        provenance: parts.provenance,
        warnings,
    };
    metadata.id = content_id(&metadata)?;
    watch.check()?;
    metadata.write(destination.folder)?;
    Ok(metadata)
}

fn write_seed(seed: &Seed, folder: &Path, watch: &mut Watch<'_>) -> Result<DiskRecord, ImageError> {
    match seed {
        Seed::Disk(path) => disks::copy(path, folder, SEED, watch),
        Seed::Linked { path, disk, .. } => {
            let linked = folder.join(SEED);
            fs::hard_link(path, &linked)
                .map_err(|source| ImageError::io("link", &linked, source))?;
            Ok(disk.clone())
        }
        Seed::Tree(tree, size) => {
            let size = size.unwrap_or_else(|| comfortable_size(tree));
            let options = work_disk::options(size)?;
            disks::write(tree, folder, SEED, &options, Stage::WriteSeed, watch)
        }
    }
}

/// Size for a seed: its contents, a quarter more, an inode and a name for each entry, and some room; whole MiB.
fn comfortable_size(tree: &Tree) -> u64 {
    let contents = tree.content_bytes() + tree.entry_count() as u64 * 8192;
    (contents + contents / 4 + SEED_ROOM).next_multiple_of(1 << 20)
}

/// The base's own digest, if the image is nothing but its base. Otherwise a digest over the base, the seed, the default
/// command and the provenance: two container images may differ in one of these alone.
fn content_id(image: &ImageMetadata) -> Result<String, ImageError> {
    let bare = image.seed.is_none() && image.defaults.is_empty() && image.provenance.is_none();
    if bare && image.base.digest.starts_with("sha256:") {
        return Ok(image.base.digest.clone());
    }
    let mut digest = Sha256Parts::default();
    digest.add(&image.base.digest);
    if let Some(seed) = &image.seed {
        digest.add(&seed.digest);
    }
    if !image.defaults.is_empty() {
        let text =
            serde_json::to_string(&image.defaults).map_err(|source| ImageError::Metadata {
                path: METADATA.into(),
                source,
            })?;
        digest.add(&format!("defaults {text}"));
    }
    if let Some(provenance) = &image.provenance {
        digest.add(&format!("container {}", provenance.digest));
    }
    Ok(digest.finish())
}
