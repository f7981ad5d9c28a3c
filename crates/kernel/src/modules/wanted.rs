//! The drivers and file systems that guests use, by the names that the kernel gives them.

use serde::{Deserialize, Serialize};

/// Something that a guest needs from its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Virtio devices on PCI (QEMU `q35`).
    VirtioPci,
    /// Virtio devices on MMIO (QEMU `microvm`, Firecracker).
    VirtioMmio,
    /// Disks.
    VirtioBlk,
    /// The host's channel on QEMU.
    VirtioConsole,
    /// The host's channel on Firecracker.
    VirtioVsock,
    /// Network devices.
    VirtioNet,
    /// Randomness from the host.
    VirtioRng,
    /// The file system of bases, overlays and work disks.
    Ext4,
    /// The writable layer over a base.
    Overlay,
    /// The checksum of ext4's metadata, where ext4 asks for it by name.
    Crc32c,
}

/// Ways in which a kernel provides a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// As a module that the initramfs carries.
    Module,
    /// In the kernel itself.
    Builtin,
    /// Not at all.
    Absent,
    /// Nobody can tell: a bare kernel image without modules and without its configuration. Taken as built in.
    Unknown,
}

impl Capability {
    /// Its name in `kernel.json` and in the initramfs's `modules/serves`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VirtioPci => "virtio_pci",
            Self::VirtioMmio => "virtio_mmio",
            Self::VirtioBlk => "virtio_blk",
            Self::VirtioConsole => "virtio_console",
            Self::VirtioVsock => "virtio_vsock",
            Self::VirtioNet => "virtio_net",
            Self::VirtioRng => "virtio_rng",
            Self::Ext4 => "ext4",
            Self::Overlay => "overlay",
            Self::Crc32c => "crc32c",
        }
    }
}

impl Availability {
    /// Tells whether a guest may count on it.
    #[must_use]
    pub fn usable(self) -> bool {
        self != Self::Absent
    }
}

pub(crate) struct Wanted {
    pub(crate) capability: Capability,
    /// The module's name, with underscores.
    pub(crate) module: &'static str,
    /// The option that builds it in.
    pub(crate) option: &'static str,
    /// Every guest needs it, on every engine.
    pub(crate) required: bool,
}

const fn wanted(
    capability: Capability,
    module: &'static str,
    option: &'static str,
    required: bool,
) -> Wanted {
    Wanted {
        capability,
        module,
        option,
        required,
    }
}

/// In the order in which a guest comes up: first what every guest on QEMU needs to reach its host and its root, then
/// what can be loaded later or not at all.
pub(crate) const WANTED: &[Wanted] = &[
    wanted(Capability::VirtioPci, "virtio_pci", "VIRTIO_PCI", false),
    wanted(
        Capability::VirtioConsole,
        "virtio_console",
        "VIRTIO_CONSOLE",
        false,
    ),
    wanted(Capability::VirtioBlk, "virtio_blk", "VIRTIO_BLK", true),
    wanted(Capability::Crc32c, "crc32c_generic", "CRYPTO_CRC32C", false),
    wanted(Capability::Ext4, "ext4", "EXT4_FS", true),
    wanted(Capability::Overlay, "overlay", "OVERLAY_FS", true),
    wanted(Capability::VirtioNet, "virtio_net", "VIRTIO_NET", false),
    wanted(
        Capability::VirtioRng,
        "virtio_rng",
        "HW_RANDOM_VIRTIO",
        false,
    ),
    wanted(Capability::VirtioMmio, "virtio_mmio", "VIRTIO_MMIO", false),
    wanted(
        Capability::VirtioVsock,
        "vmw_vsock_virtio_transport",
        "VIRTIO_VSOCKETS",
        false,
    ),
];

/// At least one of each group: devices must be found somehow, and the host must be heard somehow.
pub(crate) const ONE_OF: &[(&str, [Capability; 2])] = &[
    (
        "virtio_pci or virtio_mmio",
        [Capability::VirtioPci, Capability::VirtioMmio],
    ),
    (
        "virtio_console or vmw_vsock_virtio_transport",
        [Capability::VirtioConsole, Capability::VirtioVsock],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_metadata() {
        for wanted in WANTED {
            let json = serde_json::to_string(&wanted.capability).unwrap();
            assert_eq!(json, format!("\"{}\"", wanted.capability.name()));
        }
    }
}
