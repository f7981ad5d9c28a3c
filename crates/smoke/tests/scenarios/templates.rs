//! Templates: VMs that wake instead of booting, and are themselves.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};

use crate::guests::{MINIMAL, minimal};

/// A template is made some seconds after a boot, on a busy machine later.
const MADE_WITHIN: Duration = Duration::from_secs(180);
/// The identity of a guest, one part a line.
const WHO: &str = "cat /proc/sys/kernel/hostname /etc/machine-id /proc/sys/kernel/random/boot_id \
    /run/banger/generation /proc/sys/kernel/random/uuid; head -c 16 /dev/urandom | od -An -tx1; date +%s";
/// Guests that are compared. Each command of theirs is a process of its own.
const GUESTS: usize = 6;

fn with_templates() -> Sandbox {
    configured("")
}

fn configured(more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let config = format!("[templates]\nenabled = true\n{more}");
    if let Err(error) = std::fs::write(sandbox.banger_home().join("config.toml"), config) {
        panic!("cannot write the configuration: {error}");
    }
    sandbox
}

/// A sandbox with a template for [`minimal`] guests.
pub fn with_template() -> Sandbox {
    let sandbox = with_templates();
    made(&sandbox);
    sandbox
}

/// Boots a VM once and waits until its template is there.
fn made(sandbox: &Sandbox) {
    let ran = minimal(
        sandbox,
        &["vm", "run", "--rm", "--timings"],
        &["--", "true"],
    );
    ran.ok().says("launch_vmm");
    eventually("a template is made", MADE_WITHIN, || {
        (!keys(sandbox).is_empty()).then_some(())
    });
}

fn keys(sandbox: &Sandbox) -> Vec<String> {
    let listed = sandbox.out(&["template", "list", "-q"]);
    listed.lines().map(str::to_owned).collect()
}

fn files_of(sandbox: &Sandbox, key: &str) -> PathBuf {
    sandbox.banger_home().join("state/templates").join(key)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn vms_that_wake_from_a_template_are_themselves() {
    let sandbox = with_templates();
    step("a boot, and a template in the background", || {
        made(&sandbox)
    });

    step("each guest has an identity of its own", || {
        let mut seen = BTreeSet::new();
        for number in 0..GUESTS {
            let name = format!("woken-{number}");
            let words = ["vm", "run", "--rm", "--timings", "--name", &name];
            let ran = minimal(&sandbox, &words, &["--", "sh", "-c", WHO]).ok();
            let told = lines(&ran.out());
            assert!(ran.err().contains("wake_vmm"), "it should wake: {ran}");
            assert_eq!(told.len(), 7, "{ran}");
            assert_eq!(told[0], name, "{ran}");
            let clock: i64 = told[6].parse().unwrap();
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            assert!((clock - now.cast_signed()).abs() < 60, "{ran}");
            for value in &told[..6] {
                assert!(seen.insert(value.clone()), "{value} was another's: {ran}");
            }
        }
        sandbox.assert_no_vm();
    });

    step(
        "disks and network are its own, whatever the template had",
        || {
            let words = ["vm", "create", "--name", "large", "--disk-size", "3G"];
            let ran = minimal(&sandbox, &words, &["--timings"]).ok();
            assert!(ran.err().contains("wake_vmm"), "{ran}");
            let kib: u64 = sandbox
                .in_guest("large", "df -k /root | tail -1 | awk '{print $2}'")
                .parse()
                .unwrap();
            assert!(kib > 2 * 1024 * 1024, "{kib} KiB");
            sandbox.in_guest("large", "echo kept > /root/kept; sync");
            sandbox.banger(&["vm", "stop", "large"]).ok();
            sandbox.banger(&["vm", "start", "large"]).ok();
            assert_eq!(sandbox.in_guest("large", "cat /root/kept"), "kept");
        },
    );

    step("no copy of the memory stays", || {
        let vms = sandbox.banger_home().join("state/vms");
        for vm in std::fs::read_dir(vms).unwrap().flatten() {
            assert!(!vm.path().join("memory.img").exists(), "{vm:?}");
        }
    });

    step("without a template it boots", || {
        let words = ["vm", "run", "--rm", "--timings", "--no-template"];
        minimal(&sandbox, &words, &["--", "true"])
            .ok()
            .says("launch_vmm");
    });

    step(
        "a VM that woke outlives its daemon and its template",
        || {
            sandbox.banger(&["daemon", "stop", "--force"]).ok();
            sandbox.banger(&["template", "prune", "--yes"]).ok();
            assert!(keys(&sandbox).is_empty());
            assert_eq!(sandbox.in_guest("large", "cat /root/kept"), "kept");
            let left = sandbox.banger_home().join("state/templates");
            assert_eq!(std::fs::read_dir(left).unwrap().count(), 0);
        },
    );
    sandbox.banger(&["vm", "delete", "--force", "large"]).ok();
}

#[test]
fn a_vm_whose_template_is_damaged_is_booted_in_the_same_command() {
    let sandbox = with_templates();
    made(&sandbox);
    let key = keys(&sandbox).remove(0);
    let state = files_of(&sandbox, &key).join("state");
    let mode = |mode| {
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o600);
    let whole = std::fs::read(&state).unwrap();
    std::fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    mode(0o400);
    let ran = minimal(
        &sandbox,
        &["vm", "run", "--rm", "--timings"],
        &["--", "echo", "runs"],
    )
    .ok();
    assert_eq!(ran.out(), "runs");
    assert!(ran.err().contains("is booted instead"), "{ran}");
    assert!(ran.err().contains("launch_vmm"), "{ran}");
    eventually("the damaged template goes", MADE_WITHIN, || {
        let now = std::fs::read(&state).ok();
        now.is_none_or(|now| now.len() == whole.len()).then_some(())
    });
    sandbox.assert_no_vm();
}

#[test]
fn a_vm_that_wakes_on_a_network_of_bangers_own_reaches_it() {
    let sandbox = configured("[network]\nstack = \"own\"\n");
    let words = |more: &[&'static str]| {
        let mut words = vec!["run", "--image", MINIMAL, "--vcpu", "1", "--memory", "512M"];
        words.extend(more);
        words
    };
    sandbox
        .banger(&words(&[
            "--rm",
            "--",
            "cat",
            "/sys/class/net/eth0/address",
        ]))
        .ok();
    eventually("a template is made", MADE_WITHIN, || {
        (!keys(&sandbox).is_empty()).then_some(())
    });
    let ran = sandbox
        .banger(&words(&[
            "--rm",
            "--timings",
            "--",
            "sh",
            "-c",
            "cat /sys/class/net/eth0/address; \
             perl -MIO::Socket::IP -e '$s = IO::Socket::IP->new(PeerHost => \"banger.internal\", PeerPort => 80) or die $@; \
             print $s \"GET /denied HTTP/1.0\\r\\nHost: banger.internal\\r\\n\\r\\n\"; print scalar <$s>'",
        ]))
        .ok();
    assert!(ran.err().contains("wake_vmm"), "{ran}");
    assert!(ran.out().starts_with("52:54:00:12:34:56"), "{ran}");
    assert!(ran.out().contains(" 200 "), "{ran}");
    sandbox.assert_no_vm();
}
