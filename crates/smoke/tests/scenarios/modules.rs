//! The modules of the guest's kernel, with and without the image's own tools.

use std::time::Duration;

use banger_smoke::{BOOT, Sandbox, step};

use crate::authorities::Company;
use crate::guests::boot;

const TOOLS: Duration = Duration::from_secs(180);

/// Index files that must be what depmod makes of the same modules, byte for byte.
const SAME: &str = "modules.alias modules.alias.bin modules.builtin.bin modules.builtin.alias.bin modules.devname modules.softdep";

#[test]
fn a_guest_with_its_own_tools_finds_every_module_of_its_kernel() {
    let sandbox = Sandbox::new();
    // Of another matter, which needs a guest with tools, too.
    let company = Company::found(&sandbox);
    let words = [
        "vm",
        "create",
        "--name",
        "deb",
        "--image",
        "debian-bookworm",
    ];
    let small = ["--net", "none", "--vcpu", "1", "--memory", "1G"];
    sandbox
        .banger(&[&words[..], &small].concat())
        .deadline(BOOT)
        .ok();
    let guest = |script: &str| {
        let finished = sandbox
            .banger(&["exec", "deb", "--", "sh", "-ec", script])
            .deadline(TOOLS)
            .ok();
        finished.out().trim().to_owned()
    };

    step("device nodes that load their module are there", || {
        // udev's and systemd's own work, which the first command does not wait for.
        guest("until [ -c /dev/fuse ] && [ -c /dev/net/tun ]; do sleep 0.2; done");
    });

    step(
        "modprobe loads what needs others, and what answers to an alias",
        || {
            guest("modprobe btrfs && modprobe fs-xfs && modprobe wireguard");
            let loaded = guest("lsmod | cut -d' ' -f1");
            for module in ["btrfs", "raid6_pq", "xor", "xfs", "wireguard"] {
                assert!(
                    loaded.lines().any(|line| line == module),
                    "{module}: {loaded}"
                );
            }
        },
    );

    step(
        "the indexes are those of depmod, which may write its own",
        || {
            let folder = "/lib/modules/$(uname -r)";
            guest(&format!(
                "mkdir /root/ours && cp {folder}/modules.* /root/ours && depmod -a"
            ));
            guest(&format!(
                "cd {folder} && for file in {SAME}; do cmp $file /root/ours/$file; done"
            ));
            // Of what a module needs the order is free where neither needs the other.
            let sorted = "awk '{ for (i = 3; i <= NF; i++) for (k = i; k > 2 && $k < $(k-1); k--) { t = $k; $k = $(k-1); $(k-1) = t } print }'";
            guest(&format!(
                "cd /root && {sorted} ours/modules.dep | sort > a && {sorted} {folder}/modules.dep | sort > b && diff a b"
            ));
        },
    );

    company.is_trusted(&sandbox, "deb");
    company.guests_trust(&sandbox, "host");
    sandbox.banger(&["daemon", "stop"]).ok();

    step(
        "what the guest adds to its modules stays, beside what others see",
        || {
            guest(
                "mkdir /lib/modules/$(uname -r)/updates && touch /lib/modules/$(uname -r)/updates/mine.ko",
            );
            sandbox
                .banger(&["vm", "restart", "deb"])
                .deadline(BOOT)
                .ok();
            guest(
                "ls /lib/modules/$(uname -r)/updates/mine.ko /lib/modules/$(uname -r)/kernel/fs/xfs/xfs.ko",
            );
        },
    );
    company.is_trusted_no_more(&sandbox, "deb");
}

#[test]
fn the_kernel_finds_its_modules_in_an_image_that_has_no_tools_for_them() {
    let sandbox = Sandbox::new();
    boot(&sandbox, "small");
    let guest = |script: &str| sandbox.in_guest("small", &format!("set -e; {script}"));

    step("the agent is the kernel's modprobe", || {
        assert!(!guest("ls /sbin/modprobe 2>/dev/null || echo none").contains("/sbin"));
        assert_eq!(
            guest("cat /proc/sys/kernel/modprobe"),
            "/run/banger/modprobe"
        );
    });
    step(
        "interfaces whose drivers are modules are made by asking for them",
        || {
            guest(
                "ip link add veth0 type veth peer name veth1; ip link add wg0 type wireguard; ip link add br0 type bridge",
            );
            guest("ip link add vx0 type vxlan id 7 dstport 4789 dev veth0");
            let loaded = guest("cut -d' ' -f1 /proc/modules");
            for module in ["veth", "wireguard", "bridge", "vxlan", "udp_tunnel"] {
                assert!(
                    loaded.lines().any(|line| line == module),
                    "{module}: {loaded}"
                );
            }
        },
    );
    step("what is not there is told by name", || {
        let refused = sandbox.banger(&[
            "exec",
            "small",
            "--",
            "/run/banger/modprobe",
            "no-such-module",
        ]);
        refused
            .run()
            .exits(1)
            .says("module no-such-module not found in /lib/modules/");
    });
    step(
        "a folder of modules that leads elsewhere ends in the guest's own root",
        || {
            guest("umount /lib/modules/* && rm -r /usr/lib/modules");
            // An absolute link with far more steps up than there are, to another link, to what is not there.
            guest(
                "ln -s /srv/../../../../../../etc/elsewhere /usr/lib/modules && ln -s /var/lib/mine /etc/elsewhere",
            );
            sandbox
                .banger(&["vm", "restart", "small"])
                .deadline(BOOT)
                .ok();
            guest(
                "ls /var/lib/mine/$(uname -r)/modules.dep && ip link add veth0 type veth peer name veth1",
            );
        },
    );
    step(
        "the kernel's modules are told by name, number and size",
        || {
            let shown = sandbox.out(&["kernel", "show", "debian-cloud"]);
            assert!(shown.contains(" in /lib/modules/"), "{shown}");
            let doctor = sandbox.out(&["doctor"]);
            assert!(doctor.contains("every kernel brings its own"), "{doctor}");
        },
    );
}
