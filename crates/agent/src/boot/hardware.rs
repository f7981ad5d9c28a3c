//! Devices of this machine, before any driver is there to tell them: PCI devices carry their kind in their ids.
//! Behind virtio-mmio nothing can be told from outside; where such devices may be, anything may be there.

use std::collections::BTreeSet;
use std::fs;

const PCI: &str = "/sys/bus/pci/devices";
/// Folders whose entries begin so stand for virtio-mmio devices: announced by ACPI (QEMU's `microvm`), or on the kernel's
/// command line.
const MMIO: [(&str, &str); 2] = [
    ("/sys/bus/acpi/devices", "LNRO0005"),
    ("/sys/bus/platform/devices", "virtio-mmio"),
];
/// Beginning of the alias of a virtio device on PCI (virtio 1.2, 4.1.2: vendor 0x1af4), before its device id.
const VIRTIO_ALIAS: &str = "pci:v00001AF4d0000";
/// Device ids (virtio 1.2, 4.1.2.1: 0x1040 + number; below them the ids of transitional devices) and the capabilities
/// that they stand for, by the names that the list of modules uses.
const IDS: [(&str, &str); 9] = [
    ("1000", "virtio_net"),
    ("1001", "virtio_blk"),
    ("1003", "virtio_console"),
    ("1005", "virtio_rng"),
    ("1041", "virtio_net"),
    ("1042", "virtio_blk"),
    ("1043", "virtio_console"),
    ("1044", "virtio_rng"),
    ("1053", "virtio_vsock"),
];
/// Capabilities that no device stands for.
const ALWAYS: [&str; 3] = ["ext4", "overlay", "crc32c"];

/// The capabilities that a machine has use for.
#[derive(Debug)]
pub struct Hardware {
    /// `None` when anything may be there.
    found: Option<BTreeSet<&'static str>>,
}

impl Hardware {
    /// Looks at this machine. `/sys` must be mounted.
    #[must_use]
    pub fn look() -> Self {
        let on_mmio = MMIO.iter().any(|(folder, prefix)| {
            entries(folder).any(|entry| {
                entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(prefix.as_bytes())
            })
        });
        if on_mmio {
            return Self::unknown();
        }
        let aliases: Vec<String> = entries(PCI)
            .filter_map(|entry| fs::read_to_string(entry.path().join("modalias")).ok())
            .collect();
        Self::of_pci(aliases.iter().map(String::as_str))
    }

    /// A machine of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self { found: None }
    }

    /// A machine with these PCI devices, by their aliases. One without any virtio device on PCI is not understood, so
    /// anything may be there.
    pub fn of_pci<'a>(aliases: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = BTreeSet::from(ALWAYS);
        for alias in aliases {
            let Some(id) = alias
                .strip_prefix(VIRTIO_ALIAS)
                .and_then(|rest| rest.get(..4))
            else {
                continue;
            };
            found.insert("virtio_pci");
            if let Some((_, capability)) = IDS.iter().find(|(known, _)| *known == id) {
                found.insert(capability);
            }
        }
        Self {
            found: found.contains("virtio_pci").then_some(found),
        }
    }

    /// Tells whether drivers for `capability` may be of use.
    #[must_use]
    pub fn may_use(&self, capability: &str) -> bool {
        self.found
            .as_ref()
            .is_none_or(|found| found.contains(capability))
    }
}

fn entries(folder: &str) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_of_the_usual_machine_are_told_apart() {
        let hardware = Hardware::of_pci([
            "pci:v00008086d000029C0sv00001AF4sd00001100bc06sc00i00\n",
            "pci:v00001AF4d00001043sv00001AF4sd00001100bc07sc80i00\n",
            "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00\n",
        ]);
        for used in [
            "virtio_pci",
            "virtio_console",
            "virtio_blk",
            "overlay",
            "ext4",
        ] {
            assert!(hardware.may_use(used), "{used}");
        }
        for unused in ["virtio_net", "virtio_rng", "virtio_vsock", "virtio_mmio"] {
            assert!(!hardware.may_use(unused), "{unused}");
        }
    }

    #[test]
    fn a_machine_without_virtio_on_pci_may_have_anything() {
        let hardware = Hardware::of_pci(["pci:v00008086d000029C0sv0"]);
        assert!(hardware.may_use("virtio_mmio") && hardware.may_use("virtio_vsock"));
    }
}
