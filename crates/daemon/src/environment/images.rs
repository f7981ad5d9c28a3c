//! Descriptions of images, as requests ask about them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use banger_api::image::{ContainerSource, ImageDetails, ImageRun, Layer, MakingStep};
use banger_control::{FileUse, ImageDefaults, ImageOrigin};
use banger_image::{ImageMetadata, OriginKind, Provenance, RunDefaults, SeedChoice};
use banger_ops::{GuestDefaults, HostResult, ImageSource};

use crate::failure;

/// Bytes of a block as stat(2) counts them.
const SECTOR: u64 = 512;

fn read(image: &Path) -> HostResult<ImageMetadata> {
    ImageMetadata::read(image).map_err(|error| failure::of_disk(&error))
}

/// Cause that the description of an image cannot be read, in words.
pub(super) fn damage(image: &Path) -> Option<String> {
    let read = ImageMetadata::read(image);
    read.err().map(|error| failure::chain(&error))
}

/// Defaults of an image for its VMs. An image whose description cannot be read any more has none: its VMs start all the
/// same.
pub(super) fn defaults(image: &Path) -> ImageDefaults {
    match ImageMetadata::read(image) {
        Ok(metadata) => ImageDefaults {
            kernel_words: kernel_words(&metadata),
            guest: guest_defaults(metadata.defaults),
        },
        Err(error) => {
            tracing::warn!(image = %image.display(), %error, "the image's description cannot be read");
            ImageDefaults::default()
        }
    }
}

fn guest_defaults(own: RunDefaults) -> GuestDefaults {
    let said = |text: String| (!text.is_empty()).then_some(text);
    GuestDefaults {
        env: own
            .variables()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        user: said(own.user),
        cwd: said(own.working_dir),
        entrypoint: own.entrypoint,
        cmd: own.cmd,
    }
}

/// The security modules of Debian's kernels (`CONFIG_LSM`) that need no policy.
const LSM_WITHOUT_PROFILES: &str = "lsm=landlock,lockdown,yama,loadpin,safesetid,integrity";

/// Words of the kernel's command line for VMs of an image: without AppArmor where nothing in it could load a profile,
/// for then container engines refuse to start anything. `lsm=` names the security modules that stay
/// (kernel-parameters.txt): were AppArmor alone off, the kernel would take SELinux in its place, and systemd stops
/// where a configuration demands a policy that the image does not have.
fn kernel_words(metadata: &ImageMetadata) -> Vec<String> {
    match metadata.apparmor_parser {
        Some(false) => vec![LSM_WITHOUT_PROFILES.to_owned()],
        Some(true) | None => Vec::new(),
    }
}

/// The disk images of an image. One that is not there takes nothing.
pub(super) fn files(image: &Path) -> Vec<FileUse> {
    [banger_image::BASE, banger_image::SEED]
        .iter()
        .filter_map(|name| std::fs::metadata(image.join(name)).ok())
        .map(|found| FileUse {
            id: (found.dev(), found.ino()),
            bytes: found.blocks() * SECTOR,
        })
        .collect()
}

/// The container image that an image was made of.
pub(super) fn origin(image: &Path) -> HostResult<Option<ImageOrigin>> {
    Ok(read(image)?.provenance.map(|known| ImageOrigin {
        reference: known.reference,
        manifest: known.digest,
    }))
}

/// The seed that its user has chosen for an image, in words, when it was made of `source`.
pub(super) fn chosen_seed(image: &Path, source: &ImageSource) -> HostResult<Option<&'static str>> {
    let older = read(image)?;
    if !is_same(&older, source) {
        return Ok(None);
    }
    Ok(match older.seed_choice {
        SeedChoice::Image => None,
        SeedChoice::Nothing => Some("none, as you have chosen"),
        _ => Some("the one that you have given it"),
    })
}

/// Tells whether the image was made of `source`, as it was then. A VM's work disk is what a saved VM's seed is made of.
fn is_same(older: &ImageMetadata, source: &ImageSource) -> bool {
    let origin = &older.source;
    match source {
        ImageSource::Recipe { recipe, .. } => {
            origin.kind == OriginKind::Recipe && origin.name == *recipe
        }
        ImageSource::Container { reference, .. } => {
            origin.kind == OriginKind::Container && origin.name == *reference
        }
        ImageSource::Rootfs { rootfs, .. } => {
            matches!(
                origin.kind,
                OriginKind::Tar | OriginKind::Directory | OriginKind::Disk
            ) && origin.name == rootfs.display().to_string()
        }
        ImageSource::Saved { .. } | ImageSource::Reseed { .. } => false,
    }
}

/// All that an image says of itself.
pub(super) fn details(image: &Path) -> HostResult<ImageDetails> {
    let metadata = read(image)?;
    Ok(ImageDetails {
        base_digest: metadata.base.digest,
        entries: metadata.entries,
        seed_digest: metadata.seed.map(|seed| seed.digest),
        vms: Vec::new(),
        run: run(metadata.defaults),
        container: metadata.provenance.map(container),
        warnings: metadata.warnings,
    })
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
        platform: provenance.platform,
        created: provenance.created,
        layers: layers.collect(),
        history: history.collect(),
        labels: provenance.labels,
    }
}
