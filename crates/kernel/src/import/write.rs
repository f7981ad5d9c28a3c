//! Writes the folder of an imported kernel, its description last.

use std::fs;
use std::path::Path;

use banger_durable::{Sha256Parts, sha256};

use crate::config::KernelConfig;
use crate::error::KernelError;
use crate::metadata::{
    BZIMAGE, FORMAT, FileRecord, KernelMetadata, KernelOrigin, MODULES, ModuleRecord, ModulesDisk,
    VMLINUX,
};
use crate::modules::{Availability, Capability, Plan};
use crate::progress::{Stage, Watch};
use crate::release::Identity;
use crate::unpack::Unpacked;

/// All that goes into the folder.
pub(super) struct Written {
    pub(super) origin: KernelOrigin,
    pub(super) identity: Identity,
    pub(super) pvh_entry: Option<u64>,
    pub(super) config: Option<KernelConfig>,
    pub(super) unpacked: Unpacked,
    pub(super) plan: Plan,
    pub(super) modules_disk: Option<ModulesDisk>,
}

impl Written {
    pub(super) fn write(
        self,
        folder: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<KernelMetadata, KernelError> {
        let warnings = self.warnings();
        let option = |name| self.config.as_ref().map(|config| config.is_builtin(name));
        watch.report(Stage::Write, VMLINUX, 0, self.unpacked.vmlinux.len() as u64);
        let vmlinux = write_file(folder, VMLINUX, &self.unpacked.vmlinux)?;
        let bzimage = self.unpacked.bzimage.filter(|_| self.pvh_entry.is_none());
        let bzimage = bzimage
            .map(|bytes| write_file(folder, BZIMAGE, &bytes))
            .transpose()?;
        let modules = write_modules(folder, &self.plan, watch)?;
        let metadata = KernelMetadata {
            format: FORMAT,
            release: self.identity.release,
            banner: self.identity.banner,
            source: self.origin,
            digest: content_digest(&vmlinux, &modules, self.modules_disk.as_ref()),
            vmlinux,
            bzimage,
            pvh_entry: self.pvh_entry,
            capabilities: self.plan.capabilities,
            virtio_mmio_cmdline: option("VIRTIO_MMIO_CMDLINE_DEVICES"),
            module_signatures_forced: option("MODULE_SIG_FORCE"),
            modules,
            modules_disk: self.modules_disk,
            warnings,
        };
        banger_durable::write_description(folder, &metadata)?;
        Ok(metadata)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.pvh_entry.is_none() {
            warnings.push(if self.unpacked.bzimage.is_some() {
                "no PVH entry (CONFIG_PVH): QEMU boots the packed image, which is slower".to_owned()
            } else {
                "no PVH entry (CONFIG_PVH): QEMU cannot boot it; import its bzImage, or use Firecracker".to_owned()
            });
        }
        let state = |capability: &Capability| self.plan.capabilities.get(capability).copied();
        if state(&Capability::VirtioBlk) == Some(Availability::Unknown) {
            warnings.push("no modules and no configuration: everything that guests need is taken to be built in".to_owned());
        }
        for (capability, lost) in [
            (
                Capability::VirtioPci,
                "QEMU cannot be used on machines of type q35 (no virtio_pci)",
            ),
            (
                Capability::VirtioConsole,
                "QEMU cannot be used (no virtio_console)",
            ),
            (
                Capability::VirtioMmio,
                "Firecracker cannot be used (no virtio_mmio)",
            ),
            (
                Capability::VirtioVsock,
                "Firecracker cannot be used (no vsock over virtio)",
            ),
            (
                Capability::VirtioNet,
                "guests have no network (no virtio_net)",
            ),
        ] {
            if state(&capability) == Some(Availability::Absent) {
                warnings.push(lost.to_owned());
            }
        }
        warnings
    }
}

fn write_modules(
    folder: &Path,
    plan: &Plan,
    watch: &mut Watch<'_>,
) -> Result<Vec<ModuleRecord>, KernelError> {
    let modules = folder.join(MODULES);
    fs::create_dir(&modules).map_err(|source| KernelError::io("create", &modules, source))?;
    let mut records = Vec::new();
    for (place, module) in plan.modules.iter().enumerate() {
        watch.check()?;
        watch.report(
            Stage::Write,
            module.name.clone(),
            place as u64,
            plan.modules.len() as u64,
        );
        let file = write_file(
            folder,
            &format!("{MODULES}/{place:02}-{}.ko", module.name),
            &module.bytes,
        )?;
        records.push(ModuleRecord {
            name: module.name.clone(),
            serves: module.serves.clone(),
            file,
        });
    }
    sync_folder(&modules)?;
    Ok(records)
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<FileRecord, KernelError> {
    write_new(&folder.join(name), bytes)?;
    Ok(FileRecord {
        file: name.to_owned(),
        bytes: bytes.len() as u64,
        digest: sha256(bytes),
    })
}

/// Of what the kernel is, not of where it came from.
fn content_digest(
    vmlinux: &FileRecord,
    modules: &[ModuleRecord],
    disk: Option<&ModulesDisk>,
) -> String {
    let mut digest = Sha256Parts::default();
    digest.add(&vmlinux.digest);
    for module in modules {
        digest.add(&module.name);
        digest.add(&module.file.digest);
    }
    if let Some(disk) = disk {
        digest.add(&disk.file.file);
        digest.add(&disk.file.digest);
    }
    digest.finish()
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), KernelError> {
    banger_durable::write_new(path, bytes).map_err(|source| KernelError::io("write", path, source))
}

fn sync_folder(path: &Path) -> Result<(), KernelError> {
    banger_durable::sync_folder(path).map_err(|source| KernelError::io("sync", path, source))
}
