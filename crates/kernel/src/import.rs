//! A kernel of any source becomes a folder that every engine can boot from.
//!
//! ```text
//!  source ──► found: image bytes, modules tree, configuration ──► unpack, identify, plan ──► folder
//!                                                                                             vmlinux
//!                                                                                             modules/NN-name.ko
//!                                                                                             modules.ext4
//!                                                                                             kernel.json (last)
//! ```

mod find;
mod write;

use std::path::{Path, PathBuf};

use crate::config::KernelConfig;
use crate::error::KernelError;
use crate::metadata::{KernelMetadata, KernelOrigin};
use crate::modules;
use crate::progress::{Stage, Watch};
use crate::release;
use crate::unpack;

/// Source of a kernel's import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// A Debian kernel package file.
    Deb(PathBuf),
    /// A directory with one image (`vmlinux`, `vmlinuz*` or `bzImage`, also in `boot/`) and its modules, in `modules/`,
    /// `lib/modules/<release>` or beside it.
    Directory(PathBuf),
    /// A bare image, with the folder that holds its `modules.dep` or `kernel/`, when it has modules.
    Image {
        /// vmlinux or bzImage.
        image: PathBuf,
        /// Its modules.
        modules: Option<PathBuf>,
    },
    /// The kernel that runs this host.
    Host,
}

/// Choices of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Keep the modules of a large kernel that are left out otherwise: drivers for hardware that no guest has.
    pub all_modules: bool,
}

/// Imports a kernel into `folder`, which must exist and be empty, and describes it. On an error the folder is left as
/// it is, without `kernel.json`; the caller removes it.
///
/// # Errors
/// The source cannot be read, is no x86-64 kernel, or lacks what every guest needs ([`KernelError::Unsuitable`]).
pub fn import(
    source: &KernelSource,
    options: ImportOptions,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<KernelMetadata, KernelError> {
    let found = find::find(source, folder, watch)?;
    let origin = KernelOrigin {
        kind: found.kind.to_owned(),
        path: found.path.display().to_string(),
        image_digest: banger_durable::sha256(&found.image),
    };
    watch.report(
        Stage::UnpackKernel,
        found.image_name.clone(),
        0,
        found.image.len() as u64,
    );
    let unpacked = unpack::unpack(found.image, watch.cancel())?;
    let identity = release::identity(&unpacked.vmlinux)?;
    let pvh_entry = release::pvh_entry(&unpacked.vmlinux)?;
    let config = found
        .config
        .or_else(|| release::embedded_config(&unpacked.vmlinux, watch.cancel()));
    let config = config.map(|text| KernelConfig::parse(&text));

    watch.report(Stage::CollectModules, identity.release.clone(), 0, 0);
    let plan = modules::plan(
        &identity.release,
        found.modules.as_deref(),
        config.as_ref(),
        watch.cancel(),
    )?;
    let options = modules::DiskOptions {
        release: &identity.release,
        all: options.all_modules,
    };
    let tree = found.modules.as_deref();
    let modules_disk = tree.map(|tree| modules::write_disk(tree, options, folder, watch));
    let modules_disk = modules_disk.transpose()?.flatten();
    let written = write::Written {
        origin,
        identity,
        pvh_entry,
        config,
        unpacked,
        plan,
        modules_disk,
    };
    watch.check()?;
    written.write(folder, watch)
}

#[cfg(test)]
mod tests;
