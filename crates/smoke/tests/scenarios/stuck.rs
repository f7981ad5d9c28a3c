//! A VMM that is stopped with SIGSTOP, and one without its sockets: nothing hangs, nothing is lost, the next command
//! works.

use std::time::Duration;

use banger_smoke::guest_clock::{self, Offset};
use banger_smoke::{Sandbox, eventually, step};
use rustix::process::{Signal, kill_process};

use crate::guests::boot;

const NAME: &str = "stuck";
const SOON: Duration = Duration::from_secs(30);

fn signal(pid: rustix::process::Pid, signal: Signal) {
    if let Err(error) = kill_process(pid, signal) {
        panic!("cannot send {signal:?} to {pid:?}: {error}");
    }
}

fn is_right(offset: Offset) {
    assert!(offset.is_within(20), "the clock is off: {offset:?}");
}

/// A clock that was an hour off comes back, and is right then.
fn clock_comes_back(sandbox: &Sandbox) {
    let offset = eventually("the clock comes back", SOON, || {
        let offset = guest_clock::offset(sandbox, NAME);
        (offset.ns.abs() < 1_000_000_000).then_some(offset)
    });
    is_right(offset);
}

#[test]
fn a_stopped_vmm_and_vanished_sockets_hold_nothing_up_and_lose_nothing() {
    let sandbox = Sandbox::new();
    boot(&sandbox, NAME);
    step("the first command finds the host's time", || {
        is_right(guest_clock::offset(&sandbox, NAME));
    });
    sandbox.in_guest(NAME, "echo kept > /root/file; sync");

    step(
        "a VMM stopped with SIGSTOP is shown as such at once",
        || {
            // Found after the guest goes on, long before the next look of the minute.
            sandbox.in_guest(NAME, "date -s '1 hour ago' > /dev/null");
            let vmm = sandbox.vmm_pids()[0];
            signal(vmm, Signal::STOP);
            let condition = eventually("the condition", SOON, || {
                sandbox.vm(NAME)["conditions"].get(0).cloned()
            });
            assert_eq!(condition["kind"], "vmm_stands_still");
            assert_eq!(condition["cause"], "stopped_by_signal");
            assert_eq!(condition["vmm_pid"], vmm.as_raw_nonzero().get());
            assert!(sandbox.out(&["ps"]).contains("running, stands still"));
            let shown = sandbox.out(&["vm", "show", NAME]);
            assert!(shown.contains("kill -CONT"), "{shown}");
            let stats = sandbox.out(&["vm", "stats"]);
            assert!(stats.contains("stands still"), "{stats}");
            let health = sandbox.banger(&["vm", "health", NAME]).run().exits(1);
            assert!(health.out().contains("a signal stopped it"), "{health}");
            signal(vmm, Signal::CONT);
            sandbox.banger(&["exec", NAME, "--", "true"]).ok();
            assert_eq!(sandbox.vm(NAME)["conditions"], serde_json::json!([]));
        },
    );

    step("a guest that goes on gets the host's time", || {
        clock_comes_back(&sandbox);
    });

    step(
        "a VMM stopped with SIGSTOP is ended within its deadline",
        || {
            let vmm = sandbox.vmm_pids()[0];
            signal(vmm, Signal::STOP);
            assert_eq!(sandbox.state(NAME), "running");
            sandbox
                .banger(&["vm", "stop", "--timeout", "2", NAME])
                .deadline(SOON)
                .ok();
            assert_eq!(sandbox.state(NAME), "stopped");
            assert!(sandbox.vmm_pids().is_empty());
            sandbox.banger(&["vm", "start", NAME]).ok();
            assert_eq!(sandbox.in_guest(NAME, "cat /root/file"), "kept");
        },
    );

    step(
        "sockets that vanished, and a daemon that comes after",
        || {
            let id = sandbox.vm(NAME)["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let run = sandbox.banger_home().join("run/vms").join(id);
            for socket in ["control.sock", "channel.sock"] {
                if let Err(error) = std::fs::remove_file(run.join(socket)) {
                    panic!("cannot remove {socket}: {error}");
                }
            }
            signal(sandbox.daemon_pid(), Signal::KILL);
            eventually("the next daemon answers", SOON, || {
                sandbox.vm_names().contains(&NAME.to_owned()).then_some(())
            });
            sandbox.banger(&["vm", "kill", NAME]).deadline(SOON).ok();
            assert_eq!(sandbox.state(NAME), "stopped");
            assert!(sandbox.vmm_pids().is_empty());
            sandbox.banger(&["vm", "start", NAME]).ok();
            assert_eq!(sandbox.in_guest(NAME, "cat /root/file"), "kept");
        },
    );

    step("a new conversation begins with the host's time", || {
        // Idle: a clock below commands is put back only when it is far ahead.
        sandbox.in_guest(NAME, "date -s '+1 hour' > /dev/null");
        sandbox.banger(&["daemon", "stop"]).ok();
        clock_comes_back(&sandbox);
    });

    sandbox.banger(&["vm", "delete", "--force", NAME]).ok();
    sandbox.assert_no_vm();
}
