//! The stored form of `kernel.json`.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::collections::BTreeMap;

use banger_formats::{Golden, every_variant};
use banger_kernel::{
    Availability, Capability, FileRecord, KernelMetadata, KernelOrigin, LeftOut, ModuleRecord,
    ModulesDisk,
};

const CAPABILITIES: [Capability; 10] = [
    Capability::VirtioPci,
    Capability::VirtioMmio,
    Capability::VirtioBlk,
    Capability::VirtioConsole,
    Capability::VirtioVsock,
    Capability::VirtioNet,
    Capability::VirtioRng,
    Capability::Ext4,
    Capability::Overlay,
    Capability::Crc32c,
];
const AVAILABLE: [Availability; 4] = [
    Availability::Module,
    Availability::Builtin,
    Availability::Absent,
    Availability::Unknown,
];

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str) -> FileRecord {
    FileRecord {
        file: name.to_owned(),
        bytes: 53_000_000,
        digest: format!("sha256:{}", "0a".repeat(32)),
    }
}

fn example() -> KernelMetadata {
    let capabilities: BTreeMap<_, _> = CAPABILITIES
        .into_iter()
        .zip(AVAILABLE.into_iter().cycle())
        .collect();
    KernelMetadata {
        format: 1,
        release: "6.1.0-56-cloud-amd64".to_owned(),
        banner: "Linux version 6.1.0-56-cloud-amd64".to_owned(),
        source: KernelOrigin {
            kind: "deb".to_owned(),
            path: "/b/linux-image.deb".to_owned(),
            image_digest: format!("sha256:{}", "0b".repeat(32)),
        },
        digest: format!("sha256:{}", "cd".repeat(32)),
        vmlinux: file("vmlinux"),
        bzimage: Some(file("bzImage")),
        pvh_entry: Some(0x100_0000),
        capabilities,
        virtio_mmio_cmdline: Some(true),
        module_signatures_forced: Some(true),
        modules: vec![ModuleRecord {
            name: "virtio_blk".to_owned(),
            serves: [Capability::VirtioBlk].into(),
            file: file("modules/virtio_blk.ko"),
        }],
        modules_disk: Some(ModulesDisk {
            modules: 1121,
            left_out: Some(LeftOut {
                modules: 800,
                folders: vec!["drivers/gpu".to_owned()],
            }),
            file: file("modules.ext4"),
        }),
        warnings: vec!["it is old".to_owned()],
    }
}

#[test]
fn the_stored_form_is_that_of_the_newest_golden_file() {
    every_variant!(
        &CAPABILITIES,
        Capability {
            VirtioPci,
            VirtioMmio,
            VirtioBlk,
            VirtioConsole,
            VirtioVsock,
            VirtioNet,
            VirtioRng,
            Ext4,
            Overlay,
            Crc32c
        }
    );
    every_variant!(
        &AVAILABLE,
        Availability {
            Module,
            Builtin,
            Absent,
            Unknown
        }
    );
    assert_eq!(golden().holds("kernel.json", &example()), Ok(()));
}

#[test]
fn what_version_1_wrote_is_read() {
    let before_disks = KernelMetadata {
        modules_disk: None,
        ..example()
    };
    let read: KernelMetadata = golden().read(1, "kernel.json");
    assert_eq!(read, before_disks);
}

#[test]
fn a_file_that_a_daemon_of_version_1_has_written_is_read() {
    let seen: KernelMetadata = golden().read(1, "kernel-seen.json");
    assert_eq!(seen.release, "6.1.0-56-cloud-amd64");
    assert_eq!(seen.modules.len(), 16);
    assert!(seen.digest.starts_with("sha256:b14585477c2d6278"));
    assert!(seen.provides(Capability::VirtioBlk));
}
