//! The daemon is killed, stopped or replaced at any moment: VMs run on, and half-made ones are removed.

use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};
use rustix::process::{Signal, kill_process, test_kill_process};

use crate::guests::{boot, boot_id, minimal};

const NAME: &str = "stays";
const SOON: Duration = Duration::from_secs(20);

fn kill_and_wait(pid: rustix::process::Pid) {
    if let Err(error) = kill_process(pid, Signal::KILL) {
        panic!("cannot kill {pid:?}: {error}");
    }
    eventually("the killed process is gone", SOON, || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok();
        let dead = stat.is_none_or(|stat| stat.contains(") Z "));
        dead.then_some(())
    });
}

#[test]
fn a_running_vm_outlives_its_daemon_and_is_adopted_by_the_next() {
    let sandbox = Sandbox::new();
    boot(&sandbox, NAME);
    let booted = boot_id(&sandbox, NAME);
    let vmm = sandbox.vmm_pids();
    assert_eq!(vmm.len(), 1);

    step("killed with SIGKILL", || {
        let daemon = sandbox.daemon_pid();
        kill_and_wait(daemon);
        assert_eq!(sandbox.vmm_pids(), vmm, "the VMM runs on");
        assert_eq!(
            boot_id(&sandbox, NAME),
            booted,
            "the next daemon reaches the same boot"
        );
        assert_ne!(sandbox.daemon_pid(), daemon);
        assert_eq!(sandbox.state(NAME), "running");
    });

    step("stopped", || {
        sandbox.banger(&["daemon", "stop"]).ok();
        assert!(test_kill_process(vmm[0]).is_ok(), "the VMM runs on");
        assert_eq!(boot_id(&sandbox, NAME), booted);
    });

    step(
        "killed in the middle of an exec, whose caller hears of it",
        || {
            let exec = sandbox
                .banger(&["exec", NAME, "--", "sh", "-c", "echo up; sleep 1000"])
                .start();
            exec.wait_for_stdout("up");
            kill_and_wait(sandbox.daemon_pid());
            exec.wait().exits(125).says("lost the guest command");
            assert_eq!(boot_id(&sandbox, NAME), booted);
        },
    );

    step(
        "the VMM dies while no daemon looks: the next one says so",
        || {
            kill_and_wait(sandbox.daemon_pid());
            kill_and_wait(vmm[0]);
            let vm = sandbox.vm(NAME);
            assert_eq!(vm["state"], "error", "{vm}");
            assert!(vm["error"].is_string(), "{vm}");
            sandbox.banger(&["vm", "start", NAME]).ok();
            assert_ne!(boot_id(&sandbox, NAME), booted);
        },
    );
}

#[test]
fn a_daemon_killed_in_the_middle_of_create_leaves_nothing_and_the_name_is_free() {
    let sandbox = Sandbox::new();
    let name = "half";
    let create = minimal(&sandbox, &["vm", "create", "--name", name], &[]).start();
    eventually("a VMM is started", SOON, || {
        (!sandbox.vmm_pids().is_empty()).then_some(())
    });
    kill_and_wait(sandbox.daemon_pid());
    let ended = create.wait();
    assert_ne!(ended.code, Some(0), "{ended}");

    eventually(
        "the next daemon has taken the half-made VM back",
        SOON,
        || sandbox.vm_names().is_empty().then_some(()),
    );
    eventually("nothing is left of it", SOON, || {
        sandbox.left_of_vms().is_empty().then_some(())
    });
    minimal(
        &sandbox,
        &["vm", "create", "--no-start", "--name", name],
        &[],
    )
    .ok();
}

#[test]
fn a_vm_that_is_to_restart_always_comes_back_after_its_host_lost_everything_that_ran() {
    let sandbox = Sandbox::new();
    let name = "phoenix";
    minimal(
        &sandbox,
        &["vm", "create", "--name", name, "--restart", "always"],
        &[],
    )
    .ok();
    sandbox.in_guest(name, "echo kept > /root/file; sync");
    let booted = boot_id(&sandbox, name);
    let vmm = sandbox.vmm_pids()[0];
    kill_and_wait(sandbox.daemon_pid());
    kill_and_wait(vmm);

    eventually("the next daemon has started it again", 3 * SOON, || {
        (sandbox.state(name) == "running").then_some(())
    });
    assert_ne!(boot_id(&sandbox, name), booted);
    assert_eq!(sandbox.in_guest(name, "cat /root/file"), "kept");
    sandbox.banger(&["vm", "delete", "--force", name]).ok();
    sandbox.assert_no_vm();
}
