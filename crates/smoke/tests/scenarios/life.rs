//! A VM's life: create, set, restart, stop, start, kill, delete, prune, and its state in between.

use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};
use serde_json::Value;

use crate::guests::{boot, boot_id, comes_back, minimal};

const NAME: &str = "alpha";
const SOON: Duration = Duration::from_secs(10);
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * 1024 * 1024;

#[test]
fn a_vm_keeps_its_files_through_stop_start_restart_and_leaves_nothing_when_deleted() {
    let sandbox = Sandbox::new();
    boot(&sandbox, NAME);
    let first_boot = boot_id(&sandbox, NAME);

    step("write on both disks", || {
        sandbox.in_guest(
            NAME,
            "echo one > /root/kept && mkdir /etc/own && echo two > /etc/own/kept",
        );
        assert_eq!(sandbox.in_guest(NAME, "nproc"), "1");
    });

    step(
        "Docker, if it is installed, finds a disk of its own",
        || {
            let there = "grep -c ' /var/lib/docker ext4 ' /proc/mounts || true";
            eventually("/var/lib/docker is on a disk", SOON, || {
                (sandbox.in_guest(NAME, there) == "1").then_some(())
            });
        },
    );

    step("list, show, stats and logs", || {
        what_is_said_of_a_running_vm(&sandbox)
    });

    step("memory that the guest frees comes back", || {
        memory_comes_back(&sandbox)
    });

    step("space of deleted files comes back", || {
        disk_comes_back(&sandbox)
    });

    step("the work disk of a VM that runs grows at once", || {
        sandbox.in_guest(NAME, "echo before > /root/before");
        let set = sandbox
            .banger(&["vm", "set", NAME, "--disk-size", "10G"])
            .ok();
        assert_eq!(set.err(), "", "nothing is left for the next start");
        let size = work_bytes(&sandbox);
        assert!(size > 9 * GIB && size <= 10 * GIB, "{size}");
        // Beyond what the file had when the VMM was started, which was all that it might write.
        sandbox.in_guest(
            NAME,
            "fallocate -l 9200M /root/large && echo x | dd of=/root/large bs=1 seek=9600000000 conv=notrunc,fsync 2>/dev/null && rm /root/large && cat /root/before",
        );
        assert_eq!(sandbox.vm(NAME)["restart_needed"], false);
    });

    step(
        "a guest that cannot grow its disk leaves it as it was, and says why",
        || {
            sandbox.in_guest(NAME, "mount -t tmpfs none /root");
            let refused = sandbox.banger(&["vm", "set", NAME, "--disk-size", "11G"]);
            refused
                .run()
                .exits(1)
                .says("something else is mounted at /root")
                .says("stop it first");
            sandbox.in_guest(NAME, "cd / && umount /root");
            assert_eq!(sandbox.vm(NAME)["disk_bytes"], 10 * GIB);
        },
    );

    step("set applies at the next start and says so", || {
        let set = sandbox
            .banger(&[
                "vm",
                "set",
                NAME,
                "--vcpu",
                "2",
                "--memory",
                "600M",
                "--disk-size",
                "12G",
            ])
            .ok();
        let next =
            format!("VM {NAME} runs: this applies at its next start (banger vm restart {NAME})");
        assert!(set.err().contains(&next), "{set}");
        assert_eq!(sandbox.in_guest(NAME, "nproc"), "1");
        for words in [&["ps"][..], &["vm", "show", NAME]] {
            let told = sandbox.out(words);
            assert!(
                told.contains("1, next 2") && told.contains("512 MiB, next 600 MiB"),
                "{told}"
            );
        }
        let stats = sandbox.out(&["vm", "stats", NAME]);
        assert!(stats.contains(", next 600 MiB"), "{stats}");
        let size = work_bytes(&sandbox);
        assert!(size > 11 * GIB && size <= 12 * GIB, "{size}");
        sandbox
            .banger(&["vm", "set", NAME, "--disk-size", "1G"])
            .run()
            .exits(2)
            .says("12");
    });

    step("restart: a new boot, the settings, the files", || {
        sandbox.banger(&["vm", "restart", NAME]).ok();
        assert_ne!(boot_id(&sandbox, NAME), first_boot);
        assert_eq!(sandbox.in_guest(NAME, "nproc"), "2");
        assert_eq!(
            sandbox.in_guest(NAME, "cat /root/kept /etc/own/kept"),
            "one\ntwo"
        );
        let shown = sandbox.vm(NAME);
        assert!(shown["runs"].is_null(), "{shown}");
        let size = work_bytes(&sandbox);
        assert!(
            size > 11 * GIB && size <= 12 * GIB,
            "/root should have grown to 12 GiB, less its tables: {size}"
        );
    });

    step("stop", || {
        sandbox.banger(&["vm", "stop", NAME]).ok();
        assert_eq!(sandbox.state(NAME), "stopped");
        assert!(sandbox.vmm_pids().is_empty(), "no VMM should run");
        sandbox
            .banger(&["exec", NAME, "--", "true"])
            .run()
            .exits(4)
            .says(NAME);
        sandbox.banger(&["vm", "stop", NAME]).ok();
    });

    step("start, then kill", || {
        sandbox.banger(&["vm", "start", NAME]).ok();
        assert_eq!(
            sandbox.in_guest(NAME, "cat /root/kept /etc/own/kept"),
            "one\ntwo"
        );
        sandbox.banger(&["vm", "start", NAME]).ok();
        sandbox
            .banger(&["vm", "delete", NAME])
            .run()
            .exits(4)
            .says("--force");
        sandbox.banger(&["vm", "kill", NAME]).ok();
        assert_eq!(sandbox.state(NAME), "stopped");
        assert!(sandbox.vmm_pids().is_empty(), "no VMM should run");
    });

    step(
        "from inside: reboot comes back, halt and poweroff stop",
        || ended_from_inside(&sandbox),
    );

    step("delete", || {
        sandbox.banger(&["vm", "delete", NAME]).ok();
        sandbox.banger(&["vm", "show", NAME]).run().exits(3);
        sandbox.assert_no_vm();
    });
}

fn ended_from_inside(sandbox: &Sandbox) {
    sandbox.banger(&["vm", "start", NAME]).ok();
    for reboot in ["reboot", "kill -TERM 1"] {
        let before = boot_id(sandbox, NAME);
        sandbox.in_guest(NAME, reboot);
        comes_back(sandbox, NAME, &before);
        assert_eq!(
            sandbox.in_guest(NAME, "cat /root/kept /etc/own/kept"),
            "one\ntwo"
        );
    }
    sandbox.in_guest(NAME, "halt");
    eventually("halted", SOON, || {
        (sandbox.state(NAME) == "stopped").then_some(())
    });
    let vm = sandbox.vm(NAME);
    assert_eq!(vm["error"], "the guest powered off", "{vm}");
    let run = minimal(
        sandbox,
        &["vm", "run", "--rm", "--name", "once"],
        &["--", "reboot"],
    );
    run.ok();
    eventually("a run that ends with a reboot is over", SOON, || {
        (!sandbox.vm_names().contains(&"once".to_owned())).then_some(())
    });
}

fn what_is_said_of_a_running_vm(sandbox: &Sandbox) {
    let vm = sandbox.vm(NAME);
    let id = vm["id"].as_str().unwrap_or_default();
    for (key, expected) in [
        ("name", Value::from(NAME)),
        ("state", "running".into()),
        ("image", "debian-minimal".into()),
        ("engine", "qemu".into()),
        ("vcpu", 1.into()),
        ("memory_mib", 512.into()),
        ("disk_bytes", (8 * GIB).into()),
        ("overlay_bytes", (8 * GIB).into()),
        ("error", Value::Null),
    ] {
        assert_eq!(vm[key], expected, "{key} in {vm}");
    }
    assert!(
        vm["kernel"]
            .as_str()
            .is_some_and(|kernel| !kernel.is_empty()),
        "{vm}"
    );
    assert!(
        vm["created_at"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{vm}"
    );

    assert_eq!(
        sandbox.vm(&id[..id.len() - 2])["name"],
        NAME,
        "a unique prefix of the id will do"
    );
    let listed = sandbox.out(&["ps"]);
    assert!(
        listed.contains(NAME) && listed.contains("running"),
        "{listed}"
    );
    let health = sandbox
        .banger(&["vm", "health", NAME, "--json"])
        .ok()
        .json();
    let health = &health[0];
    assert_eq!(
        (&health["name"], &health["state"], &health["healthy"]),
        (&NAME.into(), &"running".into(), &true.into()),
        "{health}"
    );
    assert!(health["round_trip_us"].as_u64() > Some(0), "{health}");

    let stats = sandbox.banger(&["vm", "stats", NAME, "--json"]).ok().json();
    let stats = &stats[0];
    // A guest that has booted has written something, and runs in some memory.
    assert!(stats["disk_allocated_bytes"].as_u64() > Some(0), "{stats}");
    assert!(stats["guest"].is_object(), "{stats}");
    sandbox.in_guest(NAME, "echo written-to-the-console > /dev/console");
    eventually("the log holds what the guest wrote", SOON, || {
        let logs = sandbox.out(&["logs", NAME]);
        logs.contains("written-to-the-console").then_some(())
    });
}

/// Size of the file system at `/root`, in the guest.
fn work_bytes(sandbox: &Sandbox) -> u64 {
    let size = sandbox.in_guest(NAME, "df --output=size -B1 /root | tail -n 1");
    size.trim().parse().unwrap_or(0)
}

/// The VMM's own memory on the host, by what the guest has used and freed.
fn memory_comes_back(sandbox: &Sandbox) {
    let resident = || {
        let stats = sandbox.banger(&["vm", "stats", NAME, "--json"]).ok().json();
        stats[0]["host_memory_bytes"].as_u64().unwrap_or_default() / MIB
    };
    eventually("the guest has the driver", SOON, || {
        let modules = sandbox.in_guest(NAME, "cat /proc/modules");
        modules.contains("virtio_balloon").then_some(())
    });
    sandbox.in_guest(NAME, "head -c 200M /dev/zero > /dev/shm/large");
    let full = resident();
    assert!(full > 200, "{full} MiB");
    sandbox.in_guest(NAME, "rm /dev/shm/large");
    eventually("the host has it again", Duration::from_secs(60), || {
        (resident() + 150 < full).then_some(())
    });
}

/// The blocks of the VM's disks on the host, by what the guest has written and deleted.
fn disk_comes_back(sandbox: &Sandbox) {
    let allocated = || {
        let stats = sandbox.banger(&["vm", "stats", NAME, "--json"]).ok().json();
        stats[0]["disk_allocated_bytes"]
            .as_u64()
            .unwrap_or_default()
            / MIB
    };
    let before = allocated();
    sandbox.in_guest(NAME, "head -c 64M /dev/urandom > /root/large && sync");
    let full = allocated();
    assert!(full >= before + 60, "{before} MiB, then {full} MiB");
    sandbox.in_guest(NAME, "rm /root/large && sync");
    eventually("the host has it again", Duration::from_secs(60), || {
        (allocated() + 60 <= full).then_some(())
    });
}

fn labels_choose(sandbox: &Sandbox) {
    let set = [
        "vm", "set", "waits", "--label", "team=red", "--label", "job=",
    ];
    sandbox.banger(&set).ok();
    let listed = |words: &[&str]| sandbox.out(&[&["ps", "-q"], words].concat());
    assert_eq!(listed(&["--label", "team=red", "--label", "job"]), "waits");
    assert_eq!(listed(&["--label", "team=blue"]), "");
    let prune = |label: &str| {
        let words = ["vm", "prune", "--dry-run", "--label", label];
        sandbox.out(&words)
    };
    assert_eq!(prune("team=red"), "waits");
    assert_eq!(prune("team=blue"), "");
    sandbox
        .banger(&["rm", "--force", "--label", "team=blue"])
        .ok();
    let unset = ["vm", "set", "waits", "--remove-label", "job"];
    sandbox.banger(&unset).ok();
    assert_eq!(sandbox.vm("waits")["labels"]["team"], "red");
    assert_eq!(listed(&["--label", "job"]), "");
    assert_eq!(sandbox.vm_names().len(), 2);
}

/// A VM that runs gives way to one that does not, and everything of it is gone.
fn replaced_with_consent(sandbox: &Sandbox) {
    let old = sandbox.vm("runs");
    let create = ["vm", "create", "--name", "runs", "--replace"];
    minimal(sandbox, &create, &[]).run().exits(2).says("--yes");
    // What is wrong with the new one is found before the old one goes.
    minimal(sandbox, &create, &["--yes", "--kernel", "absent"])
        .run()
        .exits(3);
    assert_eq!(sandbox.vm("runs")["id"], old["id"]);
    sandbox.in_guest("runs", "echo old > /root/old");
    minimal(sandbox, &create, &["--yes"])
        .deadline(Duration::from_secs(180))
        .ok();
    let new = sandbox.vm("runs");
    assert_ne!(new["id"], old["id"]);
    assert_eq!(new["state"], "running");
    sandbox.in_guest("runs", "test ! -e /root/old");
    assert_eq!(sandbox.vm_names().len(), 2, "nothing is left beside it");
    assert_eq!(sandbox.vmm_pids().len(), 1);
}

#[test]
fn prune_removes_only_vms_that_do_not_run_and_names_are_free_again() {
    let sandbox = Sandbox::new();
    boot(&sandbox, "runs");
    for name in ["rests", "waits"] {
        minimal(
            &sandbox,
            &["vm", "create", "--no-start", "--name", name],
            &[],
        )
        .ok();
        assert_eq!(sandbox.state(name), "created");
    }

    step(
        "a taken name is refused, and the VM that has it is untouched",
        || {
            minimal(
                &sandbox,
                &["vm", "create", "--no-start", "--name", "rests"],
                &[],
            )
            .run()
            .exits(4)
            .says("rests");
            assert_eq!(sandbox.vm_names().len(), 3);
        },
    );

    step("a nearly right name is named", || {
        sandbox
            .banger(&["vm", "show", "rets"])
            .run()
            .exits(3)
            .says("rests");
    });

    step(
        "several references: all resolved first, duplicates dropped",
        || {
            sandbox
                .banger(&["vm", "delete", "rests", "nobody"])
                .run()
                .exits(3)
                .says("nobody");
            assert_eq!(
                sandbox.vm_names().len(),
                3,
                "one bad reference: nothing is done"
            );
            sandbox.banger(&["vm", "delete", "rests", "rests"]).ok();
            assert_eq!(sandbox.vm_names().len(), 2);
        },
    );

    step("labels choose VMs", || labels_choose(&sandbox));

    step("a VM is replaced with consent alone", || {
        replaced_with_consent(&sandbox);
    });

    step("SSH clients see one host for each VM", || {
        let hosts = sandbox.banger_home().join("state/ssh/hosts");
        let hosts = || std::fs::read_to_string(&hosts).unwrap_or_default();
        assert!(
            hosts().contains("Host runs.vm\n") && hosts().contains("Host waits.vm\n"),
            "{}",
            hosts()
        );
        sandbox
            .banger(&["vm", "set", "waits", "--name", "idles"])
            .ok();
        assert!(
            hosts().contains("Host idles.vm\n") && !hosts().contains("waits"),
            "{}",
            hosts()
        );
    });

    step("prune", || {
        // There is no terminal for the question, and silence is no consent.
        sandbox
            .banger(&["vm", "prune"])
            .run()
            .exits(2)
            .says("--yes");
        sandbox.banger(&["vm", "prune", "--yes"]).ok();
        assert_eq!(sandbox.vm_names(), ["runs"]);
        sandbox.in_guest("runs", "true");
        minimal(
            &sandbox,
            &["vm", "create", "--no-start", "--name", "rests"],
            &[],
        )
        .ok();
    });
}
