//! VMs that stand still: paused with their VMM, or suspended as a file on the disk.

use std::path::PathBuf;
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};

use crate::guests::{boot, boot_id, minimal};

const SOON: Duration = Duration::from_secs(60);
/// Counts for ever, in a file that no disk has.
const COUNTS: &str = "i=0; while :; do i=$((i+1)); echo $i > /run/count.new; mv /run/count.new /run/count; sleep 0.1; done";

fn count(sandbox: &Sandbox, vm: &str) -> u64 {
    let read = sandbox.in_guest(vm, "cat /run/count");
    match read.parse() {
        Ok(count) => count,
        Err(_) => panic!("no number: {read:?}"),
    }
}

fn counting(sandbox: &Sandbox, vm: &str) {
    let detached = ["exec", "--detach", vm, "--", "sh", "-c", COUNTS];
    sandbox.banger(&detached).ok();
    eventually("it counts", SOON, || {
        let read = ["exec", vm, "--", "cat", "/run/count"];
        (sandbox.banger(&read).run().code == Some(0)).then_some(())
    });
}

fn memory_of(sandbox: &Sandbox, vm: &str) -> PathBuf {
    let id = sandbox.vm(vm)["id"].as_str().unwrap_or_default().to_owned();
    let vms = sandbox.banger_home().join("state/vms");
    vms.join(id).join("suspended.state")
}

fn goes_on(sandbox: &Sandbox, vm: &str) {
    let (before, boot) = (count(sandbox, vm), boot_id(sandbox, vm));
    sandbox.in_guest(vm, "echo kept > /root/kept");
    sandbox.banger(&["vm", "suspend", vm]).ok();
    assert_eq!(sandbox.state(vm), "suspended");
    assert!(sandbox.vmm_pids().is_empty(), "a VMM runs on");
    assert!(memory_of(sandbox, vm).is_file());
    std::thread::sleep(Duration::from_secs(2));
    sandbox.banger(&["vm", "start", vm]).ok();
    assert_eq!(sandbox.state(vm), "running");
    assert!(!memory_of(sandbox, vm).exists(), "it could go on twice");
    assert_eq!(boot_id(sandbox, vm), boot, "it booted");
    let after = count(sandbox, vm);
    assert!(after >= before, "{after} after {before}");
    eventually("it counts on", SOON, || {
        (count(sandbox, vm) > after).then_some(())
    });
    assert_eq!(sandbox.in_guest(vm, "cat /root/kept"), "kept");
    let clock: u64 = sandbox.in_guest(vm, "date +%s").parse().unwrap_or(0);
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_secs();
    assert!(
        clock.abs_diff(now) <= 2,
        "the clock stood: {clock} and {now}"
    );
}

#[test]
fn a_suspended_vm_goes_on_where_it_stood() {
    let sandbox = Sandbox::new();
    boot(&sandbox, "one");
    counting(&sandbox, "one");

    step("paused, nothing in it runs", || {
        sandbox.banger(&["vm", "pause", "one"]).ok();
        std::thread::sleep(Duration::from_secs(1));
        sandbox.banger(&["vm", "resume", "one"]).ok();
        let before = count(&sandbox, "one");
        eventually("it counts on", SOON, || {
            (count(&sandbox, "one") > before).then_some(())
        });
    });

    step("suspended, and on again", || goes_on(&sandbox, "one"));
    step("twice", || goes_on(&sandbox, "one"));

    step("through another daemon", || {
        sandbox.banger(&["vm", "suspend", "one"]).ok();
        sandbox.banger(&["daemon", "stop", "--force"]).ok();
        assert_eq!(sandbox.state("one"), "suspended");
        sandbox.banger(&["vm", "start", "one"]).ok();
        count(&sandbox, "one");
    });

    step(
        "what it cannot do meanwhile is refused with the next step",
        || {
            sandbox.banger(&["vm", "suspend", "one"]).ok();
            sandbox
                .banger(&["vm", "stop", "one"])
                .run()
                .exits(4)
                .says("banger vm kill one");
            sandbox
                .banger(&["vm", "set", "one", "--memory", "1G"])
                .run()
                .exits(4);
        },
    );

    step(
        "a damaged memory stays, until it is to be forgotten",
        || {
            let memory = memory_of(&sandbox, "one");
            let whole = std::fs::read(&memory).unwrap_or_default();
            if let Err(error) = std::fs::write(&memory, &whole[..whole.len() / 2]) {
                panic!("{error}");
            }
            let ran = sandbox.banger(&["vm", "start", "one"]).run();
            assert_ne!(ran.code, Some(0), "{ran}");
            assert!(ran.err().contains("banger vm kill one"), "{ran}");
            assert_eq!(sandbox.state("one"), "suspended");
            sandbox.banger(&["vm", "kill", "one"]).ok();
            assert_eq!(sandbox.state("one"), "stopped");
            assert!(!memory.exists());
            sandbox.banger(&["vm", "start", "one"]).ok();
            assert_eq!(sandbox.in_guest("one", "cat /root/kept"), "kept");
            sandbox
                .banger(&["exec", "one", "--", "cat", "/run/count"])
                .run()
                .exits(1);
        },
    );
    sandbox.banger(&["vm", "delete", "--force", "one"]).ok();
}

#[test]
fn a_vm_that_woke_from_a_template_is_suspended_too() {
    let sandbox = crate::templates::with_template();
    let words = ["vm", "create", "--name", "woken"];
    let ran = minimal(&sandbox, &words, &["--timings"]).ok();
    assert!(ran.err().contains("wake_vmm"), "{ran}");
    counting(&sandbox, "woken");
    goes_on(&sandbox, "woken");
    sandbox.banger(&["vm", "suspend", "woken"]).ok();
    sandbox.banger(&["vm", "delete", "--force", "woken"]).ok();
}
