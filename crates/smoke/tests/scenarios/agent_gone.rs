//! A guest whose agent is gone for good, and one whose agent stands still: both are shown, neither holds anything up. Want of
//! memory takes commands away, and never the agent.

use std::time::{Duration, Instant};

use banger_smoke::{Sandbox, eventually, step};
use serde_json::Value;

use crate::guests::{BOOT, reaches_running};

const NAME: &str = "orphan";
const SOON: Duration = Duration::from_secs(60);

/// Sends a signal to the agent, and to the processes that would start it again, in one call.
fn signal_agents(signal: &str) -> String {
    format!(
        r#"all=
for process in /proc/[0-9]*; do
    [ "$(cat $process/comm)" = banger-agent ] && all="$all ${{process#/proc/}}"
done
kill -{signal} $all"#
    )
}

/// The shown condition, once it has this cause.
fn condition(sandbox: &Sandbox, cause: &str) -> Value {
    eventually(cause, SOON, || {
        let condition = sandbox.vm(NAME)["conditions"][0].clone();
        (condition["cause"] == cause).then_some(condition)
    })
}

fn is_well(sandbox: &Sandbox) {
    eventually("nothing is wrong", SOON, || {
        (sandbox.vm(NAME)["conditions"] == serde_json::json!([])).then_some(())
    });
}

#[test]
fn an_agent_that_is_gone_or_silent_is_a_condition_and_its_commands_end_with_the_next_step() {
    let sandbox = Sandbox::new();
    let image = [
        "--image",
        "debian-bookworm",
        "--net",
        "none",
        "--vcpu",
        "1",
        "--memory",
        "512M",
    ];
    sandbox
        .banger(&[&["vm", "create", "--name", NAME], &image[..]].concat())
        .deadline(BOOT)
        .ok();
    reaches_running(&sandbox, NAME);
    // A unit of systemd, so that the script may end the agent. It is a file, because systemd expands "$" in a command
    // line itself.
    let unit = |script: &str| {
        let keep = ["exec", NAME, "--", "sh", "-c", "cat > /root/script"];
        sandbox.banger(&keep).input(script).ok();
        let start = ["systemd-run", "--quiet", "sh", "/root/script"];
        sandbox.banger(&[&["exec", NAME, "--"], &start[..]].concat())
    };

    step(
        "an agent that stands still is shown, and comes back",
        || {
            let pause = format!(
                "sleep 1; {}; sleep 12; {}",
                signal_agents("STOP"),
                signal_agents("CONT")
            );
            unit(&pause).ok();
            let silent = condition(&sandbox, "silent");
            assert_eq!(silent["kind"], "agent_gone");
            assert!(sandbox.out(&["ps"]).contains("running, agent gone"));
            is_well(&sandbox);
            sandbox.banger(&["exec", NAME, "--", "true"]).ok();
        },
    );

    step("agent and commands are not in a group of init's", || {
        let own = sandbox.in_guest(NAME, "cat /proc/self/cgroup");
        assert!(own.starts_with("0::/banger/exec/"), "{own}");
        let agents = sandbox.in_guest(
            NAME,
            "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = banger-agent ] && cat $p/cgroup; done | sort | uniq -c | tr -s ' '",
        );
        assert!(agents.contains("2 0::/banger/agent"), "{agents}");
        assert!(agents.contains("banger-agent.service"), "{agents}");
    });

    step("want of memory ends the process, and not the agent", || {
        // tail keeps its last line, which has no end.
        let eats = ["exec", NAME, "--", "sh", "-c", "tail /dev/zero"];
        let ended = sandbox.banger(&eats).deadline(BOOT).run();
        assert!(matches!(ended.code, Some(137 | 1)), "{ended}");
        sandbox
            .banger(&["exec", NAME, "--", "true"])
            .deadline(SOON)
            .ok();
        let ends = sandbox.in_guest(NAME, "systemctl show init.scope -p Result");
        assert_ne!(ends, "Result=oom-kill");
        assert!(sandbox.in_guest(NAME, "dmesg").contains("Out of memory"));
    });

    step(
        "a time limit ends what has made itself a daemon, too",
        || {
            let forks = "setsid sh -c 'setsid sleep 54321 & exit' & sleep 1000";
            let limited = ["exec", "--timeout", "3s", NAME, "--", "sh", "-c", forks];
            sandbox.banger(&limited).deadline(SOON).run().exits(124);
            assert_eq!(
                sandbox.in_guest(NAME, "pgrep -x -f 'sleep 54321' || echo none"),
                "none"
            );
        },
    );

    step("what a command leaves behind lives on", || {
        sandbox.in_guest(NAME, "nohup sleep 65432 >/dev/null 2>&1 &");
        sandbox.in_guest(
            NAME,
            "pgrep -x -f 'sleep 65432' && pkill -x -f 'sleep 65432'",
        );
    });

    step(
        "agent and keepers that are killed together come back",
        || {
            unit(&format!("sleep 1; {}", signal_agents("KILL"))).ok();
            eventually("the agent is another process", SOON, || {
                let log = sandbox
                    .banger(&[
                        "exec",
                        NAME,
                        "--",
                        "sh",
                        "-c",
                        "systemctl show banger-agent -p NRestarts",
                    ])
                    .deadline(SOON)
                    .run();
                (log.code == Some(0) && !log.out().contains("NRestarts=0")).then_some(())
            });
            is_well(&sandbox);
        },
    );

    step(
        "an agent that nothing brings back ends the open commands",
        || {
            sandbox.in_guest(NAME, "systemctl stop banger-agent");
            let open = sandbox
                .banger(&["exec", NAME, "--", "sh", "-c", "echo up; exec sleep 1000"])
                .deadline(SOON)
                .start();
            open.wait_for_stdout("up");
            unit(&format!("sleep 1; {}", signal_agents("KILL"))).ok();
            let lost = open.wait().exits(125);
            assert!(
                lost.err().contains("its guest's agent is gone since"),
                "{lost}"
            );
            assert!(lost.err().contains("banger vm restart orphan"), "{lost}");
            let gone = condition(&sandbox, "port_closed");
            assert_eq!(gone["kind"], "agent_gone");
            assert!(gone["since"].is_string(), "{gone}");
        },
    );

    step("it is told everywhere, at once", || {
        let begun = Instant::now();
        assert!(sandbox.out(&["ps"]).contains("running, agent gone"));
        assert!(
            sandbox
                .out(&["vm", "show", NAME])
                .contains("banger vm restart")
        );
        assert!(sandbox.out(&["vm", "stats", NAME]).contains("agent gone"));
        let health = sandbox
            .banger(&["vm", "health", NAME, "--json"])
            .run()
            .exits(1);
        assert_eq!(health.json()[0]["conditions"][0]["cause"], "port_closed");
        let refused = sandbox
            .banger(&["exec", NAME, "--json", "--", "true"])
            .run()
            .exits(125);
        assert_eq!(refused.json_error()["code"], "guest_unreachable");
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    });

    step("the next step works", || {
        sandbox
            .banger(&["vm", "restart", "--timeout", "2", NAME])
            .deadline(BOOT)
            .ok();
        sandbox.banger(&["exec", NAME, "--", "true"]).ok();
        assert_eq!(sandbox.vm(NAME)["conditions"], serde_json::json!([]));
    });

    step(
        "a guest that halts is off, and not a machine that answers nobody",
        || {
            sandbox
                .banger(&["exec", NAME, "--", "systemctl", "halt"])
                .run();
            eventually("the VM is stopped", BOOT, || {
                (sandbox.state(NAME) == "stopped").then_some(())
            });
        },
    );

    sandbox.banger(&["vm", "delete", "--force", NAME]).ok();
    sandbox.assert_no_vm();
}
