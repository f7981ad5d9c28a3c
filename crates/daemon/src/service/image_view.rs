//! Images as users see them: sizes, what they share, where they came from.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use banger_api::ApiError;
use banger_api::image::{ContainerSource, Image, ImageDetails, ImageRun, Layer, MakingStep};
use banger_image::{ImageMetadata, Provenance, RunDefaults};
use banger_store::{ImageRecord, VmRecord, image, vm};

use crate::context::Daemon;
use crate::operations::timestamp;

/// Bytes of a block as stat(2) counts them.
const SECTOR: u64 = 512;

/// A file of the host, by device and inode: images share files by hard link.
type File = (u64, u64);

/// Which files each image has, and what each takes.
struct Files {
    sizes: BTreeMap<File, u64>,
    of: BTreeMap<String, BTreeSet<File>>,
}

impl Files {
    fn of(daemon: &Daemon, records: &[ImageRecord]) -> Self {
        let (mut sizes, mut of) = (BTreeMap::new(), BTreeMap::new());
        for record in records {
            let folder = daemon.paths.images().join(&record.digest);
            let mut own = BTreeSet::new();
            for name in [banger_image::BASE, banger_image::SEED] {
                // What is not there takes nothing.
                if let Ok(found) = std::fs::metadata(folder.join(name)) {
                    let file = (found.dev(), found.ino());
                    sizes.insert(file, found.blocks() * SECTOR);
                    own.insert(file);
                }
            }
            of.insert(record.name.to_string(), own);
        }
        Self { sizes, of }
    }

    fn bytes<'a>(&self, files: impl Iterator<Item = &'a File>) -> u64 {
        files.filter_map(|file| self.sizes.get(file)).sum()
    }

    fn all_of(&self, name: &str) -> impl Iterator<Item = &File> {
        self.of.get(name).into_iter().flatten()
    }

    /// Those of `name` that another image has, too.
    fn shared_of(&self, name: &str) -> impl Iterator<Item = &File> {
        self.all_of(name).filter(move |file| {
            let mut others = self.of.iter().filter(|(other, _)| *other != name);
            others.any(|(_, files)| files.contains(file))
        })
    }
}

/// All images.
///
/// # Errors
/// Only the store's.
pub(crate) fn images(daemon: &Daemon) -> Result<Vec<Image>, ApiError> {
    let vms = daemon.read(vm::list)?;
    let records = daemon.read(image::list)?;
    let files = Files::of(daemon, &records);
    Ok(records
        .iter()
        .map(|record| view(record, &files, &vms))
        .collect())
}

/// One image with all about it.
///
/// # Errors
/// Only the store's.
pub(crate) fn image_view(daemon: &Daemon, record: &ImageRecord) -> Result<Image, ApiError> {
    let vms = daemon.read(vm::list)?;
    let files = Files::of(daemon, &daemon.read(image::list)?);
    let mut image = view(record, &files, &vms);
    let folder = daemon.paths.images().join(&record.digest);
    match ImageMetadata::read(&folder) {
        Ok(metadata) => image.details = Some(details(metadata, users(record, &vms))),
        Err(error) => {
            tracing::warn!(image = %record.name, %error, "its description cannot be read")
        }
    }
    Ok(image)
}

/// Bytes that go with all of these images together: what others keep is not among them.
///
/// # Errors
/// Only the store's.
pub(super) fn freed_with(daemon: &Daemon, going: &[Image]) -> Result<u64, ApiError> {
    let records = daemon.read(image::list)?;
    let files = Files::of(daemon, &records);
    let goes = |name: &str| going.iter().any(|image| image.name.as_str() == name);
    let (gone, kept): (Vec<_>, Vec<_>) = files.of.iter().partition(|(name, _)| goes(name));
    let kept: BTreeSet<File> = kept
        .into_iter()
        .flat_map(|(_, files)| files)
        .copied()
        .collect();
    let gone: BTreeSet<File> = gone
        .into_iter()
        .flat_map(|(_, files)| files)
        .copied()
        .collect();
    Ok(files.bytes(gone.difference(&kept)))
}

fn users(record: &ImageRecord, vms: &[VmRecord]) -> Vec<String> {
    let made = vms.iter().filter(|vm| vm.image_digest == record.digest);
    made.map(|vm| vm.name.to_string()).collect()
}

fn view(record: &ImageRecord, files: &Files, vms: &[VmRecord]) -> Image {
    let name = record.name.as_str();
    Image {
        name: record.name.clone(),
        digest: format!("sha256:{}", record.digest),
        source: record.source.clone(),
        init: record.init.clone(),
        base_bytes: record.base_bytes,
        allocated_bytes: files.bytes(files.all_of(name)),
        shared_bytes: files.bytes(files.shared_of(name)),
        seed_bytes: record.seed_bytes,
        superseded: record.superseded,
        used_by: users(record, vms).len() as u64,
        created_at: timestamp(record.created_ms),
        details: None,
    }
}

fn details(metadata: ImageMetadata, vms: Vec<String>) -> ImageDetails {
    ImageDetails {
        base_digest: metadata.base.digest,
        entries: metadata.entries,
        seed_digest: metadata.seed.map(|seed| seed.digest),
        vms,
        run: run(metadata.defaults),
        container: metadata.provenance.map(container),
    }
}

fn run(defaults: RunDefaults) -> ImageRun {
    ImageRun {
        env: defaults.env,
        user: defaults.user,
        working_dir: defaults.working_dir,
        entrypoint: defaults.entrypoint,
        cmd: defaults.cmd,
        stop_signal: defaults.stop_signal,
    }
}

fn container(provenance: Provenance) -> ContainerSource {
    let layers = provenance.layers.into_iter().map(|layer| Layer {
        digest: layer.digest,
        bytes: layer.bytes,
    });
    let history = provenance.history.into_iter().map(|step| MakingStep {
        created: step.created,
        created_by: step.created_by,
        empty_layer: step.empty_layer,
    });
    ContainerSource {
        reference: provenance.reference,
        digest: provenance.digest,
        config_digest: provenance.config_digest,
        index_digest: provenance.index_digest,
        created: provenance.created,
        layers: layers.collect(),
        history: history.collect(),
        labels: provenance.labels,
    }
}
