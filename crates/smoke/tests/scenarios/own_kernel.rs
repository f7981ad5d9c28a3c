//! A kernel that is installed in the guest's root: the guest says which one boots, and boots its own when it is asked to.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::time::Duration;

use banger_smoke::{BOOT, Sandbox, step};

use crate::guests::{boot, boot_id, comes_back};

/// Two boots, and the import of a kernel between them.
const TAKEN: Duration = Duration::from_secs(240);

/// Installs the kernel that runs in the guest's own root. Its modules are there already, as after a package of this very
/// release, which writes them over the host's.
fn install(sandbox: &Sandbox, image: &std::path::Path) {
    let release = sandbox.in_guest("own", "uname -r");
    let release = release.trim();
    sandbox.in_guest("own", "mkdir -p /boot /etc/kernel/postinst.d");
    let to = format!("own:/boot/vmlinuz-{release}");
    let image = image.display().to_string();
    sandbox.banger(&["cp", &image, &to]).deadline(BOOT).ok();
}

#[test]
fn a_guest_boots_the_kernel_of_its_own_root_when_it_is_to() {
    let sandbox = Sandbox::new();
    boot(&sandbox, "own");
    let kernels = |what: &str| {
        let listed = sandbox.banger(&["kernel", "list", "--json"]).ok();
        listed.out().matches(what).count()
    };
    let kernels_folder = sandbox.banger_home().join("state/kernels");
    let folders = std::fs::read_dir(kernels_folder).unwrap();
    let mut images = folders.map(|folder| folder.unwrap().path().join("vmlinux"));
    let vmlinux = images.find(|image| image.exists()).unwrap();

    step("a root without a kernel is told so", || {
        sandbox.banger(&["vm", "stop", "own"]).deadline(BOOT).ok();
        sandbox
            .banger(&["vm", "set", "own", "--kernel", "image"])
            .ok();
        sandbox
            .banger(&["vm", "start", "own"])
            .deadline(TAKEN)
            .run()
            .exits(1)
            .says("the VM's root has no kernel")
            .says("banger vm set own --kernel");
        assert_eq!(kernels("the root of VM"), 0);
        let default = sandbox.banger(&["kernel", "list", "-q"]).ok();
        let default = default.out().lines().next().unwrap().to_owned();
        sandbox
            .banger(&["vm", "set", "own", "--kernel", &default])
            .ok();
        sandbox.banger(&["vm", "start", "own"]).deadline(BOOT).ok();
    });

    step("a package of a kernel says which one boots", || {
        install(&sandbox, &vmlinux);
        sandbox
            .banger(&["vm", "restart", "own"])
            .deadline(BOOT)
            .ok();
        let said = sandbox.in_guest("own", "/etc/kernel/postinst.d/zz-banger 6.1.0-99");
        assert!(said.contains("kernel 6.1.0-99 is installed"), "{said}");
        assert!(said.contains("banger vm set own --kernel image"), "{said}");
        assert_eq!(kernels("the root of VM"), 0, "nothing was asked for");
    });

    step(
        "the kernel of the root boots, with the modules of the root",
        || {
            sandbox
                .banger(&["vm", "set", "own", "--kernel", "image"])
                .ok();
            sandbox
                .banger(&["vm", "restart", "own"])
                .deadline(TAKEN)
                .ok();
            assert_eq!(kernels("the root of VM own"), 1);
            let shown = sandbox.banger(&["vm", "show", "own"]).ok();
            assert!(shown.out().contains("image ("), "{}", shown.out());
            let modules = sandbox.in_guest(
                "own",
                "grep -c 'lib/modules/' /proc/mounts; ls /lib/modules/$(uname -r)/kernel",
            );
            assert!(
                modules.starts_with('1') && modules.contains("fs"),
                "{modules}"
            );
            let said = sandbox.in_guest("own", "/etc/kernel/postinst.d/zz-banger 6.1.0-99");
            assert!(said.contains("boots the kernel of its own root"), "{said}");
        },
    );

    step("a newer one boots after the guest's own reboot", || {
        let before = boot_id(&sandbox, "own");
        sandbox.in_guest("own", "printf newer >> /boot/vmlinuz-$(uname -r)");
        let first = sandbox.vm("own")["kernel"].clone();
        sandbox.banger(&["exec", "own", "--", "reboot"]).run();
        comes_back(&sandbox, "own", &before);
        assert_ne!(sandbox.vm("own")["kernel"], first);
        assert_eq!(kernels("the root of VM own"), 1, "the one before is gone");
    });

    step("it goes with its VM", || {
        sandbox
            .banger(&["rm", "--force", "own"])
            .deadline(BOOT)
            .ok();
        assert_eq!(kernels("the root of VM"), 0);
    });
}
