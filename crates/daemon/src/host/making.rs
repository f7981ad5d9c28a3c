//! Making images, kernels and initramfs: long work that reports and can be cancelled.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_agent_embed::{AGENT, AGENT_DIGEST};
use banger_api::kernel::KernelSource;
use banger_api::{ApiError, ContentDigest, ErrorCode, Timestamp};
use banger_image::{
    Builder, Destination, ImageError, ImageMetadata, Recipe, RootFs, SeedFrom, WorkSeed,
};
use banger_kernel::{ImportOptions, KernelError, KernelMetadata};
use banger_ops::{Cancel, Events, HostResult, ImageFacts, ImageSource, KernelFacts, SeedWish};
use banger_watch::{Progress, Stage};

use super::container::Container;
use super::files;
use crate::failure;
use crate::stages;

/// Longest making of an image or a kernel: mirrors that answer a byte a minute must not hold a name for ever.
const DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);

/// One making.
pub(super) struct Making<'a> {
    /// Directory of downloads.
    pub(super) cache: &'a Path,
    /// Directory of images, to share a base with.
    pub(super) images: &'a Path,
    pub(super) events: &'a dyn Events,
    pub(super) cancel: &'a Cancel,
}

/// When to stop: when the user wants to, or when it takes too long.
struct Patience<'a> {
    cancel: &'a Cancel,
    until: Instant,
}

impl<'a> Patience<'a> {
    fn new(cancel: &'a Cancel) -> Self {
        Self {
            cancel,
            until: Instant::now() + DEADLINE,
        }
    }

    fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || Instant::now() >= self.until
    }

    /// Tells the deadline from the user's wish.
    fn explain(&self, error: ApiError) -> ApiError {
        if error.code != ErrorCode::Cancelled || self.cancel.is_cancelled() {
            return error;
        }
        let hours = DEADLINE.as_secs() / 3600;
        ApiError::new(
            ErrorCode::Timeout,
            format!("it was given up after {hours} hours"),
        )
    }
}

fn of_kernel(error: &KernelError) -> ApiError {
    match error {
        KernelError::Cancelled => ApiError::new(ErrorCode::Cancelled, "cancelled"),
        KernelError::NoApt { .. }
        | KernelError::NoPackage { .. }
        | KernelError::NoFile { .. }
        | KernelError::Program { .. } => {
            ApiError::new(ErrorCode::HostNotReady, failure::chain(error))
                .hint("import a kernel of your own: banger kernel import --help")
        }
        _ => failure::of_input(error),
    }
}

impl Making<'_> {
    fn tell<S: Stage>(&self, progress: Progress<S>) {
        let total = (progress.total > 0).then_some(progress.total);
        let stage = progress.stage.name();
        match progress.done {
            0 => self.events.stage(stage, &progress.detail),
            done => self.events.progress(stage, &progress.detail, done, total),
        }
    }

    pub(super) fn kernel(
        &self,
        source: &KernelSource,
        all_modules: bool,
        into: &Path,
    ) -> HostResult<()> {
        let patience = Patience::new(self.cancel);
        let cancelled = || patience.is_over();
        let mut report = |progress| self.tell(progress);
        let mut watch = banger_kernel::Watch::new(&mut report, &cancelled);
        let source = match source {
            KernelSource::Deb { path } => banger_kernel::KernelSource::Deb(path.into()),
            KernelSource::Dir { path } => banger_kernel::KernelSource::Directory(path.into()),
            KernelSource::Image { path, modules } => banger_kernel::KernelSource::Image {
                image: path.into(),
                modules: modules.as_ref().map(PathBuf::from),
            },
            KernelSource::Host => banger_kernel::KernelSource::Host,
            KernelSource::Default => {
                let downloads = self.cache.join("kernels");
                files::make_dir(&downloads)?;
                let package = banger_kernel::fetch_default_kernel(&downloads, &mut watch)
                    .map_err(|error| patience.explain(of_kernel(&error)))?;
                banger_kernel::KernelSource::Deb(package)
            }
        };
        let options = ImportOptions { all_modules };
        let metadata = banger_kernel::import(&source, options, into, &mut watch)
            .map_err(|error| patience.explain(of_kernel(&error)))?;
        for warning in &metadata.warnings {
            self.events.warn(warning);
        }
        self.events.stage(stages::INITRAMFS, "");
        initramfs(into)
    }

    pub(super) fn image(&self, source: &ImageSource, into: &Path) -> HostResult<()> {
        let patience = Patience::new(self.cancel);
        let cancelled = || patience.is_over();
        let mut report = |progress| self.tell(progress);
        let mut watch = banger_image::Watch::new(&mut report, &cancelled);
        let destination = Destination {
            folder: into,
            created_at: Timestamp::now().into(),
        };
        // What lies on the way is inside the directory that the plan has claimed, and goes before it is published.
        let scratch = into.join("scratch");
        files::make_dir(&scratch)?;
        let made = match source {
            ImageSource::Recipe { recipe, seed } => Recipe::find(recipe).and_then(|recipe| {
                let seed = work_seed(seed);
                Builder::of_host()?.build(&recipe, &seed, &destination, &scratch, &mut watch)
            }),
            ImageSource::Container {
                at,
                reference,
                index,
                platform,
                seed,
            } => Ok(Container {
                cache: self.cache.join("oci"),
                at,
                reference,
                index: index.as_deref(),
                platform: platform.as_deref(),
                scratch: &scratch,
                events: self.events,
                cancel: self.cancel,
            }
            .make(&work_seed(seed), &destination, &mut watch)?),
            ImageSource::Rootfs { rootfs, seed } => {
                let root = RootFs {
                    rootfs: rootfs.clone(),
                    seed: work_seed(seed),
                };
                banger_image::register(&root, &destination, &scratch, &mut watch)
            }
            ImageSource::Saved {
                archive,
                image,
                vm,
                seed,
            } => banger_image::from_saved(
                (archive, vm.as_str()),
                image,
                &work_seed(seed),
                &destination,
                &scratch,
                &mut watch,
            ),
            ImageSource::Reseed { image, seed } => {
                let seed = work_seed(seed);
                banger_image::reseed(image, &seed, &destination, &scratch, &mut watch)
            }
        };
        let told = made.and_then(|metadata| {
            banger_image::share_base(into, self.images, &mut watch)?;
            Ok(metadata.warnings)
        });
        for warning in told.map_err(|error| patience.explain(of_image(&error)))? {
            self.events.warn(&warning);
        }
        files::remove_tree(&scratch)?;
        files::sync_dir(into)
    }
}

fn work_seed(wish: &SeedWish) -> WorkSeed {
    if let Some(image) = &wish.kept_of {
        return WorkSeed {
            from: SeedFrom::Kept(image.clone()),
            size: None,
        };
    }
    WorkSeed {
        from: match &wish.from {
            banger_api::image::WorkSeed::Auto => SeedFrom::Auto,
            banger_api::image::WorkSeed::Root => SeedFrom::Root,
            banger_api::image::WorkSeed::None => SeedFrom::None,
            banger_api::image::WorkSeed::Path(path) => SeedFrom::Path(path.into()),
        },
        size: wish.bytes,
    }
}

pub(super) fn of_image(error: &ImageError) -> ApiError {
    match error {
        ImageError::Cancelled => ApiError::new(ErrorCode::Cancelled, "cancelled"),
        ImageError::NoDebianSources { .. }
        | ImageError::NoMmdebstrap
        | ImageError::NoBuildMode { .. } => {
            ApiError::new(ErrorCode::HostNotReady, failure::chain(error))
        }
        ImageError::Build { .. } => ApiError::new(ErrorCode::Internal, failure::chain(error)),
        _ => failure::of_input(error),
    }
}

pub(super) fn initramfs(kernel_dir: &Path) -> HostResult<()> {
    banger_kernel::ensure_initramfs(kernel_dir, AGENT, AGENT_DIGEST)
        .map(|_path| ())
        .map_err(|error| of_kernel(&error))
}

/// The digest that a description names: the files get a directory of that name.
fn digest_of(text: &str, dir: &Path) -> HostResult<ContentDigest> {
    text.parse().map_err(|error| {
        let message = format!("the description in {} is damaged: {error}", dir.display());
        ApiError::new(ErrorCode::Internal, message)
    })
}

pub(super) fn kernel_facts(dir: &Path) -> HostResult<KernelFacts> {
    let metadata = KernelMetadata::read(dir).map_err(|error| of_kernel(&error))?;
    Ok(KernelFacts {
        digest: digest_of(&metadata.digest, dir)?,
        source: format!("{} {}", metadata.source.kind, metadata.source.path)
            .trim()
            .to_owned(),
        version: metadata.release,
        image_bytes: metadata.vmlinux.bytes,
        modules: metadata
            .modules
            .into_iter()
            .map(|module| module.name)
            .collect(),
    })
}

pub(super) fn image_facts(dir: &Path) -> HostResult<ImageFacts> {
    let metadata = ImageMetadata::read(dir).map_err(|error| of_image(&error))?;
    Ok(ImageFacts {
        digest: digest_of(&metadata.id, dir)?,
        source: format!("{} {}", metadata.source.kind, metadata.source.name),
        init: metadata.init.name().to_owned(),
        base_bytes: metadata.base.bytes,
        seed_bytes: metadata.seed.map(|seed| seed.bytes),
    })
}
