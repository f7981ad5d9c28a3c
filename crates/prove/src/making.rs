//! The model daemon's requests about images and kernels.

use std::path::Path;

use banger_api::kernel::KernelSource;
use banger_api::{ApiError, ErrorCode, OperationId};
use banger_ops::{ContainerAt, HostResult, ImageSource, NoEvents, SeedWish, plans};
use banger_store::{ImageRecord, KernelRecord, image, kernel, vm};

use crate::content::{digest_of, image_name};
use crate::control::{Control, staging};
use crate::layout;

fn invalid(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, error.to_string())
}

impl Control<'_> {
    /// Makes an image of this content and gives it this name, which must be free.
    pub(crate) fn build(&self, name: &str, content: &str) -> HostResult<()> {
        self.operation("build_image", None, |op| {
            let source = ImageSource::Recipe {
                recipe: content.to_owned(),
                seed: SeedWish::default(),
            };
            self.run(plans::make_image(op, source, staging(op)))?;
            self.publish_made(op, name)
        })
    }

    /// Makes an image of what a registry calls `app` now, and gives it this name, whatever has it.
    pub(crate) fn pull(&self, name: &str, manifest: &str) -> HostResult<()> {
        self.operation("pull_image", None, |op| {
            let source = ImageSource::Container {
                at: ContainerAt::Cache(manifest.to_owned()),
                reference: "app".to_owned(),
                index: None,
                platform: None,
                seed: SeedWish::default(),
            };
            let old = self.read(|db| image::by_name(db, name))?;
            let same = |old: &ImageRecord| old.digest == digest_of(&image_name(&source));
            if old.as_ref().is_some_and(same) {
                return Ok(());
            }
            self.run(plans::make_image(op, source, staging(op)))?;
            match old {
                None => self.publish_made(op, name),
                Some(old) => self.supersede(op, &old),
            }
        })
    }

    fn made_record(&self, name: &str, staging: &Path) -> HostResult<ImageRecord> {
        let facts = self.host().image_facts(staging)?;
        Ok(ImageRecord {
            name: name.parse().map_err(invalid)?,
            digest: facts.digest.clone(),
            source: facts.source,
            init: facts.init,
            base_bytes: facts.base_bytes,
            seed_bytes: facts.seed_bytes,
            created_ms: self.host().now_ms(),
            superseded: false,
        })
    }

    /// Gives what an operation has made of an image its place and name.
    pub(crate) fn publish_made(&self, op: OperationId, name: &str) -> HostResult<()> {
        self.or_discard(op, &staging(op), |staging| {
            let record = self.made_record(name, staging)?;
            self.publish_image(op, &record, staging)
        })
    }

    /// Gives what an operation has made the name of an older image, whose VMs keep that one.
    fn supersede(&self, op: OperationId, old: &ImageRecord) -> HostResult<()> {
        self.or_discard(op, &staging(op), |staging| {
            let record = self.made_record(old.name.as_str(), staging)?;
            let kept = plans::kept_name(&old.name, &old.digest).map_err(invalid)?;
            let users = plans::Users::Stay { kept };
            self.replace_image(op, record, &old.digest, staging, users)
        })?;
        self.runner.discard(op, staging(op), &NoEvents);
        self.forget_superseded(op);
        Ok(())
    }

    /// Removes images that were there for VMs alone, and have none any more. What fails is tried again by upkeep.
    pub(crate) fn forget_superseded(&self, op: OperationId) {
        for image in self.read(plans::superseded).unwrap_or_default() {
            let _ = self.remove_image(op, &image);
        }
    }

    /// What upkeep does about them.
    pub(crate) fn forget_left_over(&self) -> HostResult<()> {
        if self.read(plans::superseded)?.is_empty() {
            return Ok(());
        }
        self.operation("delete_image", None, |op| {
            self.forget_superseded(op);
            Ok(())
        })
    }

    fn remove_image(&self, op: OperationId, image: &ImageRecord) -> HostResult<()> {
        let images = self.read(image::list)?;
        let others = images.iter().filter(|other| other.digest == image.digest);
        let directory = (others.count() == 1).then(|| layout::image_dir(&image.digest));
        let files = plans::DeleteFiles { directory };
        self.run(plans::delete_image(op, image, files))
    }

    /// Removes an image's name, and its files with the last one.
    pub(crate) fn delete_image(&self, name: &str) -> HostResult<()> {
        let images = self.read(image::list)?;
        let Some(found) = images.iter().find(|image| image.name.as_str() == name) else {
            return Err(ApiError::new(ErrorCode::NotFound, "no such image"));
        };
        let used = self.read(vm::list)?;
        if used.iter().any(|vm| vm.image_digest == found.digest) {
            return Err(ApiError::new(ErrorCode::InUse, "a VM is made from it"));
        }
        self.operation("delete_image", None, |op| self.remove_image(op, found))
    }

    /// Gives an image another name.
    pub(crate) fn rename_image(&self, from: &str, to: &str) -> HostResult<()> {
        let (from, to) = (from.parse().map_err(invalid)?, to.parse().map_err(invalid)?);
        self.operation("rename_image", None, |op| {
            self.run(plans::rename_image(op, from, to))
        })
    }

    /// Gives an image another work seed, and the VMs made from it the new files.
    pub(crate) fn reseed_image(&self, name: &str) -> HostResult<()> {
        let Some(found) = self.read(|db| image::by_name(db, name))? else {
            return Err(ApiError::new(ErrorCode::NotFound, "no such image"));
        };
        self.operation("reseed_image", None, |op| {
            let staging = staging(op);
            let source = ImageSource::Reseed {
                image: layout::image_dir(&found.digest),
                seed: SeedWish::default(),
            };
            self.run(plans::make_image(op, source, staging.clone()))?;
            let old = self.or_discard(op, &staging, |staging| {
                let facts = self.host().image_facts(staging)?;
                let record = ImageRecord {
                    digest: facts.digest,
                    seed_bytes: facts.seed_bytes,
                    ..found.clone()
                };
                let images = self.read(image::list)?;
                let same = images.iter().filter(|image| image.digest == found.digest);
                let old = (same.count() == 1).then(|| layout::image_dir(&found.digest));
                let users = plans::Users::Follow { old: old.clone() };
                self.replace_image(op, record, &found.digest, staging, users)?;
                Ok(old)
            })?;
            // Those that fail stay unfinished, and are tried again.
            for path in std::iter::once(staging).chain(old) {
                self.runner.discard(op, path, &NoEvents);
            }
            Ok(())
        })
    }

    fn replace_image(
        &self,
        op: OperationId,
        record: ImageRecord,
        from: &str,
        staging: &Path,
        users: plans::Users,
    ) -> HostResult<()> {
        let exists = self.read(|db| image::is_named(db, &record.digest))?;
        let files = plans::ReplaceImage {
            from: from.to_owned(),
            staging: staging.to_owned(),
            target: (!exists).then(|| layout::image_dir(&record.digest)),
            users,
        };
        self.run(plans::replace_image(op, record, files))
    }

    /// Makes a kernel of this content and gives it this name.
    pub(crate) fn import(&self, name: &str, content: &str) -> HostResult<()> {
        self.operation("import_kernel", None, |op| {
            let staging = staging(op);
            let source = KernelSource::Dir {
                path: content.to_owned(),
            };
            self.run(plans::make_kernel(op, source, staging.clone()))?;
            self.or_discard(op, &staging, |staging| {
                let facts = self.host().kernel_facts(staging)?;
                let record = KernelRecord {
                    name: name.parse().map_err(invalid)?,
                    digest: facts.digest.clone(),
                    source: facts.source,
                    version: facts.version,
                    image_bytes: facts.image_bytes,
                    modules: facts.modules,
                    created_ms: self.host().now_ms(),
                };
                self.publish_kernel(op, &record, staging)
            })
        })
    }

    /// Removes a kernel's name, and its files with the last one.
    pub(crate) fn delete_kernel(&self, name: &str) -> HostResult<()> {
        let kernels = self.read(kernel::list)?;
        let Some(found) = kernels.iter().find(|kernel| kernel.name.as_str() == name) else {
            return Err(ApiError::new(ErrorCode::NotFound, "no such kernel"));
        };
        let used = self.read(vm::list)?;
        if used.iter().any(|vm| vm.kernel_digest == found.digest) {
            return Err(ApiError::new(ErrorCode::InUse, "a VM boots it"));
        }
        let others = kernels
            .iter()
            .filter(|kernel| kernel.digest == found.digest);
        let directory = (others.count() == 1).then(|| layout::kernel_dir(&found.digest));
        self.operation("delete_kernel", None, |op| {
            self.run(plans::delete_kernel(
                op,
                found,
                plans::DeleteFiles { directory },
            ))
        })
    }

    /// Does something with what was made; when that fails, what was made goes.
    fn or_discard<T>(
        &self,
        op: OperationId,
        staging: &Path,
        body: impl FnOnce(&Path) -> HostResult<T>,
    ) -> HostResult<T> {
        body(staging).inspect_err(|_| {
            // A discard that fails stays unfinished, and is tried again.
            self.runner.discard(op, staging.to_owned(), &NoEvents);
        })
    }

    fn publish_image(
        &self,
        op: OperationId,
        record: &ImageRecord,
        staging: &Path,
    ) -> HostResult<()> {
        again_while_in_use(|| {
            let exists = self.read(|db| image::is_named(db, &record.digest))?;
            let to = plans::PublishImage {
                staging: staging.to_owned(),
                target: layout::image_dir(&record.digest),
                exists,
            };
            self.run(plans::publish_image(op, record.clone(), to))
        })
    }

    fn publish_kernel(
        &self,
        op: OperationId,
        record: &KernelRecord,
        staging: &Path,
    ) -> HostResult<()> {
        again_while_in_use(|| {
            let exists = self.read(|db| kernel::is_named(db, &record.digest))?;
            let to = plans::PublishKernel {
                staging: staging.to_owned(),
                target: layout::kernel_dir(&record.digest),
                exists,
            };
            self.run(plans::publish_kernel(op, record.clone(), to))
        })
    }
}

/// How often a plan is made again that did not begin because something changed meanwhile.
const TRIES: usize = 3;

fn again_while_in_use(body: impl Fn() -> HostResult<()>) -> HostResult<()> {
    for _ in 1..TRIES {
        match body() {
            Err(error) if error.code == ErrorCode::InUse => {}
            other => return other,
        }
    }
    body()
}
