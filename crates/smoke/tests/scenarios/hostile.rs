//! A guest whose root has turned hostile: its bytes break nothing on the host.

use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};

use crate::guests::{BOOT, reaches_running};

const NAME: &str = "evil";
const SOON: Duration = Duration::from_secs(30);

/// Kills the agent and the programs that would start it again, and writes garbage to the host in its place for ever.
const FLOOD: &str = r"
for pass in 1 2 3; do
    for process in /proc/[0-9]*; do
        case $(tr '\0' ' ' < $process/cmdline) in *banger-agent*) kill -KILL ${process#/proc/} ;; esac
    done
done
while :; do cat /dev/urandom > /dev/virtio-ports/banger.channel; done
";

#[test]
fn a_guest_that_answers_garbage_breaks_nothing_on_the_host() {
    let sandbox = Sandbox::new();
    let image = [
        "--image",
        "debian-bookworm",
        "--net",
        "none",
        "--vcpu",
        "1",
        "--memory",
        "1G",
    ];
    sandbox
        .banger(&[&["vm", "create", "--name", NAME], &image[..]].concat())
        .deadline(BOOT)
        .ok();
    reaches_running(&sandbox, NAME);

    step(
        "the agent's place on the channel is taken by garbage",
        || {
            let keep = ["exec", NAME, "--", "sh", "-c", "cat > /root/flood"];
            sandbox.banger(&keep).input(FLOOD).ok();
            // Run apart from the agent, because the script kills the agent.
            let start = [
                "systemd-run",
                "--quiet",
                "--unit=flood",
                "sh",
                "/root/flood",
            ];
            sandbox
                .banger(&[&["exec", NAME, "--"], &start[..]].concat())
                .run();
            eventually("the agent no longer answers", SOON, || {
                let exec = sandbox
                    .banger(&["exec", NAME, "--", "true"])
                    .deadline(SOON * 2)
                    .run();
                (exec.code != Some(0)).then_some(())
            });
        },
    );

    step("the daemon answers others and holds little memory", || {
        for _ in 0..5 {
            assert_eq!(sandbox.vm_names(), [NAME]);
        }
        let rss = resident_kib(sandbox.daemon_pid());
        assert!(rss < 128 * 1024, "the daemon holds {rss} KiB");
    });

    step("the VM can still be stopped and deleted", || {
        sandbox.banger(&["vm", "stop", NAME, "--timeout", "2"]).ok();
        assert_eq!(sandbox.state(NAME), "stopped");
        sandbox.banger(&["vm", "delete", NAME]).ok();
        sandbox.assert_no_vm();
    });
}

fn resident_kib(pid: rustix::process::Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
        .unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(u64::MAX)
}
