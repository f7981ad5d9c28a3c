use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::config::KernelConfig;
use crate::error::KernelError;
use crate::fixture::{module, xz, zstd};

const RELEASE: &str = "6.1.0";

/// Files in memory, and a record of which were read.
#[derive(Default)]
struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    read: RefCell<Vec<String>>,
}

impl Memory {
    fn with(mut self, path: &str, bytes: Vec<u8>) -> Self {
        self.files.insert(path.to_owned(), bytes);
        self
    }
}

impl ModuleTree for Memory {
    fn modules(&self) -> Vec<String> {
        self.files
            .keys()
            .filter(|path| is_module_file(path))
            .cloned()
            .collect()
    }
    fn index(&self, name: &str) -> Result<Option<Vec<u8>>, KernelError> {
        Ok(self.files.get(name).cloned())
    }
    fn stored(&self, path: &str) -> Result<Vec<u8>, KernelError> {
        self.read.borrow_mut().push(path.to_owned());
        Ok(self.files[path].clone())
    }
}

fn cloud() -> Memory {
    let built = |name, depends| module(name, depends, RELEASE);
    Memory::default()
        .with(
            "kernel/drivers/virtio/virtio_ring.ko",
            built("virtio_ring", ""),
        )
        .with(
            "kernel/drivers/virtio/virtio.ko",
            built("virtio", "virtio_ring"),
        )
        .with(
            "kernel/drivers/virtio/virtio_pci.ko.xz",
            xz(&built("virtio_pci", "virtio,virtio_ring")),
        )
        .with(
            "kernel/drivers/block/virtio_blk.ko.zst",
            zstd(&built("virtio_blk", "virtio,virtio_ring")),
        )
        .with(
            "kernel/drivers/char/virtio_console.ko",
            built("virtio_console", "virtio"),
        )
        .with(
            "kernel/drivers/char/hw_random/virtio-rng.ko",
            built("virtio_rng", "virtio"),
        )
        .with(
            "kernel/drivers/net/unrelated.ko",
            b"rubbish that nobody reads".to_vec(),
        )
        .with("kernel/fs/overlayfs/overlay.ko", built("overlay", ""))
        .with(
            "modules.builtin",
            b"kernel/fs/ext4/ext4.ko\nkernel/crypto/crc32c_generic.ko\n".to_vec(),
        )
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.modules
        .iter()
        .map(|module| module.name.as_str())
        .collect()
}

fn planned(tree: &Memory) -> Result<Plan, KernelError> {
    plan(RELEASE, Some(tree), None, &|| false)
}

#[test]
fn dependencies_come_first_and_packed_modules_are_unpacked() {
    let tree = cloud();
    let plan = planned(&tree).unwrap();
    let order = [
        "virtio_ring",
        "virtio",
        "virtio_pci",
        "virtio_console",
        "virtio_blk",
        "overlay",
        "virtio_rng",
    ];
    assert_eq!(names(&plan), order);
    let serves = |place: usize| {
        plan.modules[place]
            .serves
            .iter()
            .map(|capability| capability.name())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        serves(1),
        ["virtio_pci", "virtio_blk", "virtio_console", "virtio_rng"],
        "virtio is for all its users"
    );
    assert_eq!(serves(4), ["virtio_blk"]);
    assert!(
        plan.modules
            .iter()
            .all(|module| module.bytes.starts_with(b"\x7fELF"))
    );
    assert!(
        !tree
            .read
            .borrow()
            .iter()
            .any(|path| path.contains("unrelated")),
        "only what is needed is read"
    );
}

#[test]
fn what_is_built_in_or_absent_is_recorded() {
    let plan = planned(&cloud()).unwrap();
    assert_eq!(plan.capabilities[&Capability::Ext4], Availability::Builtin);
    assert_eq!(
        plan.capabilities[&Capability::VirtioBlk],
        Availability::Module
    );
    assert_eq!(
        plan.capabilities[&Capability::VirtioNet],
        Availability::Absent
    );
}

#[test]
fn modules_dep_goes_before_modinfo() {
    let tree = cloud()
        .with("kernel/lib/extra.ko", module("extra", "", RELEASE))
        .with(
            "modules.dep",
            b"kernel/fs/overlayfs/overlay.ko: kernel/lib/extra.ko\nkernel/lib/extra.ko:\n".to_vec(),
        );
    let plan = planned(&tree).unwrap();
    let place = |name| {
        names(&plan)
            .iter()
            .position(|other| *other == name)
            .unwrap()
    };
    assert!(place("extra") < place("overlay"));
    assert!(
        place("virtio") < place("virtio_blk"),
        "modules that modules.dep does not know speak for themselves"
    );
}

#[test]
fn a_missing_required_driver_is_named() {
    let mut tree = cloud();
    tree.files.remove("kernel/fs/overlayfs/overlay.ko");
    assert_eq!(
        planned(&tree).unwrap_err().to_string(),
        "kernel 6.1.0 has no overlay: it is neither built in nor among its modules"
    );
    let mut tree = cloud();
    tree.files.remove("kernel/drivers/char/virtio_console.ko");
    assert!(
        planned(&tree)
            .unwrap_err()
            .to_string()
            .contains("virtio_console or vmw_vsock_virtio_transport")
    );
}

#[test]
fn a_kernel_without_modules_is_believed_by_its_configuration() {
    let options = [
        "VIRTIO_PCI",
        "VIRTIO_BLK",
        "VIRTIO_CONSOLE",
        "EXT4_FS",
        "OVERLAY_FS",
    ];
    let config = |options: &[&str]| {
        let text: String = options
            .iter()
            .map(|option| format!("CONFIG_{option}=y\n"))
            .collect();
        KernelConfig::parse(text.as_bytes())
    };
    let plan_with = |config: Option<&KernelConfig>| plan(RELEASE, None, config, &|| false);
    let all_built_in = plan_with(Some(&config(&options))).unwrap();
    assert!(all_built_in.modules.is_empty());
    assert_eq!(
        all_built_in.capabilities[&Capability::Overlay],
        Availability::Builtin
    );
    let error = plan_with(Some(&config(&options[..4])))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "kernel 6.1.0 has no overlay: it is not built in, and no modules were given"
    );
    let unknown = plan_with(None).unwrap();
    assert!(
        unknown
            .capabilities
            .values()
            .all(|availability| *availability == Availability::Unknown)
    );
}

#[test]
fn modules_of_another_kernel_are_refused() {
    let tree = cloud().with(
        "kernel/fs/overlayfs/overlay.ko",
        module("overlay", "", "5.10.0"),
    );
    assert_eq!(
        planned(&tree).unwrap_err().to_string(),
        "module overlay: it was built for kernel 5.10.0, the image is 6.1.0"
    );
}

#[test]
fn hostile_dependencies_end_in_an_error() {
    let overlay = "kernel/fs/overlayfs/overlay.ko";
    let error = |tree: Memory| planned(&tree).unwrap_err().to_string();
    let cycle = cloud()
        .with(overlay, module("overlay", "a", RELEASE))
        .with("a.ko", module("a", "overlay", RELEASE));
    assert_eq!(
        error(cycle),
        "module overlay: it depends on itself through overlay, a"
    );
    let missing = cloud().with(overlay, module("overlay", "gone", RELEASE));
    assert_eq!(
        error(missing),
        "module gone: overlay needs it, but there is no such file"
    );
    let mut chain = cloud().with(overlay, module("overlay", "m0", RELEASE));
    for n in 0..100 {
        chain = chain.with(
            &format!("m{n}.ko"),
            module("m", &format!("m{}", n + 1), RELEASE),
        );
    }
    assert!(error(chain).contains("64 in a row"));
    let line = cloud()
        .with(overlay, module("overlay", "a\nb", RELEASE))
        .with("a\nb.ko", module("ab", "", RELEASE));
    assert!(error(line).contains("no module has such a name"));
    let dep = cloud().with("modules.dep", b"no colon here\n".to_vec());
    assert!(error(dep).contains("no colon"));
    let many = format!("x.ko: {}\n", "y.ko ".repeat(1000));
    assert!(
        error(cloud().with("modules.dep", many.into_bytes()))
            .contains("the number of modules that x depends on")
    );
}

#[test]
fn a_soft_dependency_is_loaded_first_when_it_exists() {
    let info = "softdep=pre: crc32c_intel missing\0depends=\0vermagic=6.1.0 SMP\0";
    let tree = cloud()
        .with(
            "kernel/fs/ext4/ext4.ko",
            crate::fixture::elf((".modinfo", info.as_bytes()), None),
        )
        .with(
            "kernel/arch/x86/crypto/crc32c-intel.ko",
            module("crc32c_intel", "", RELEASE),
        );
    let plan = planned(&tree).unwrap();
    let place = |name| names(&plan).iter().position(|other| *other == name);
    assert!(place("crc32c_intel").unwrap() < place("ext4").unwrap());
}
