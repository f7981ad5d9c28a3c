//! Making an image of a container image that is on this host: open, unpack, merge, write.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ByteSize, ErrorCode};
use banger_image::{
    ContainerImage, Destination, ImageMetadata, Provenance, RunDefaults, Watch, WorkSeed,
    from_container,
};
use banger_oci::choice::ChoiceError;
use banger_oci::unpacking::UnpackProgress;
use banger_oci::{Digest, Files, Limits, LocalImage, LocalImageError, Platform};
use banger_ops::{Cancel, ContainerAt, Events, HostResult};
use banger_registry::Cache;

use crate::failure;

/// One making.
pub(super) struct Container<'a> {
    /// Directory of fetched images.
    pub(super) cache: PathBuf,
    pub(super) at: &'a ContainerAt,
    pub(super) reference: &'a str,
    /// Reference that led to it, when it lies in the cache.
    pub(super) index: Option<&'a str>,
    pub(super) platform: Option<&'a str>,
    pub(super) scratch: &'a Path,
    pub(super) events: &'a dyn Events,
    pub(super) cancel: &'a Cancel,
}

impl Container<'_> {
    pub(super) fn make(
        &self,
        seed: &WorkSeed,
        destination: &Destination<'_>,
        watch: &mut Watch<'_>,
    ) -> HostResult<ImageMetadata> {
        let platform = platform_of(self.platform)?;
        let image = open(
            &self.cache,
            self.at,
            self.reference,
            &platform,
            self.scratch,
        )
        .map_err(|error| self.failed(&error))?;
        let mut warnings = self.compare(&platform, &image.config().platform)?;
        let sizes: Vec<(Digest, u64)> = image.stored_layers().collect();
        let mut out = vec![0; sizes.len()];
        let tree = image.tree(self.scratch, Limits::default(), &mut |progress| {
            self.tell(&sizes, &mut out, progress);
            match self.cancel.is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        let Files { tree, losses } = tree.map_err(|error| self.failed(&error))?;
        warnings.extend(losses.sentences());
        let mut provenance = Provenance::of(&image, self.reference.to_owned());
        if let Some(index) = self.index {
            provenance.index_digest = Some(index.to_owned());
        }
        let container = ContainerImage {
            tree: &tree,
            defaults: RunDefaults::from(image.config()),
            provenance,
            warnings,
        };
        from_container(container, seed, destination, self.scratch, watch)
            .map_err(|error| super::making::of_image(&error))
    }

    fn tell(&self, sizes: &[(Digest, u64)], out: &mut [u64], progress: UnpackProgress) {
        let Some(bytes) = out.get_mut(progress.layer) else {
            return;
        };
        *bytes = progress.bytes;
        let (digest, stored) = sizes[progress.layer];
        let detail = format!(
            "layer {} of {}, {} ({} stored)",
            progress.layer + 1,
            sizes.len(),
            &digest.hex()[..12],
            ByteSize(stored)
        );
        let done = out.iter().sum();
        self.events.progress("unpack_layers", &detail, done, None);
    }

    /// A single manifest is taken as it is: what does not run here is worth a word, unless the user has said what it
    /// must run on.
    fn compare(&self, wanted: &Platform, made_for: &Platform) -> HostResult<Vec<String>> {
        if made_for.architecture.is_empty() || wanted.runs(made_for) {
            return Ok(Vec::new());
        }
        if self.platform.is_some() {
            let reference = self.reference;
            let message = format!("{reference} is made for {made_for}, not for {wanted}");
            return Err(ApiError::new(ErrorCode::NotFound, message)
                .hint(format!("take it as it is: --platform {made_for}")));
        }
        Ok(vec![format!(
            "the image is made for {made_for}, not for {wanted}: its programs may not run"
        )])
    }

    fn failed(&self, error: &LocalImageError) -> ApiError {
        if self.cancel.is_cancelled() {
            return ApiError::new(ErrorCode::Cancelled, "cancelled");
        }
        let told = of_local_image(error);
        match (self.at, error.damaged_blob()) {
            // It was right when it was fetched: the disk, or somebody, has changed it since.
            (ContainerAt::Cache(_), Some(blob)) => {
                let forgotten = Cache::open(&self.cache).and_then(|cache| cache.forget(blob));
                match forgotten {
                    Ok(()) => told.hint("the cached copy was damaged and is gone: pull again"),
                    Err(error) => told.hint(failure::chain(&error)),
                }
            }
            _ => told,
        }
    }
}

/// Error of a container image of this host, with the way to choose another one where there are some.
pub(crate) fn of_local_image(error: &LocalImageError) -> ApiError {
    let told = failure::of_input(error);
    match error {
        LocalImageError::Choice { source, .. } => choice_hint(source, told),
        _ => told,
    }
}

/// Way to choose another image, where there are some.
pub(crate) fn choice_hint(error: &ChoiceError, told: ApiError) -> ApiError {
    match error {
        ChoiceError::NoPlatform { .. } => {
            told.hint("choose one of these: --platform OS/ARCHITECTURE")
        }
        ChoiceError::NoName { .. } | ChoiceError::Several { .. } => {
            told.hint("choose one of these by tag, name or digest: --tag NAME")
        }
        ChoiceError::NoImage { .. } | ChoiceError::Nothing => told,
    }
}

/// Opens a container image of this host. Messages call one of the cache by the `reference` that it was asked for by.
pub(crate) fn open(
    cache: &Path,
    at: &ContainerAt,
    reference: &str,
    platform: &Platform,
    scratch: &Path,
) -> Result<LocalImage, LocalImageError> {
    match at {
        ContainerAt::Cache(manifest) => {
            let digest = manifest.parse().map_err(LocalImageError::Manifest)?;
            LocalImage::open_manifest(cache, digest, reference)
        }
        ContainerAt::Path { path, tag } => {
            LocalImage::open(path, tag.as_deref(), platform, scratch)
        }
    }
}

/// The platform that is asked for, or the host's own.
///
/// # Errors
/// `invalid_argument`.
pub(crate) fn platform_of(text: Option<&str>) -> HostResult<Platform> {
    text.map_or(Ok(Platform::host()), str::parse).map_err(
        |error: banger_oci::manifest::PlatformError| {
            ApiError::new(ErrorCode::InvalidArgument, error.to_string())
        },
    )
}
