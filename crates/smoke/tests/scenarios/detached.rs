//! Detached commands: they run on without the client that started them.

use banger_smoke::{Sandbox, eventually, step};
use rustix::process::{Signal, kill_process};
use std::time::Duration;

use crate::guests::boot;

#[test]
fn a_detached_command_goes_on_without_its_client_and_without_the_daemon() {
    let sandbox = Sandbox::new();
    boot(&sandbox, "far");
    let script = "echo out; echo err >&2; while [ ! -e /tmp/gate ]; do sleep 0.1; done; echo through; exit 7";

    let id = step("it gets a number and runs", || {
        let words = [
            "exec", "--detach", "-e", "A=b", "-w", "/tmp", "far", "--", "sh", "-c", script,
        ];
        let id = sandbox.out(&words);
        assert_eq!(id, "1");
        let list = sandbox
            .banger(&["exec", "--list", "far", "--json"])
            .ok()
            .json();
        assert_eq!(list[0]["state"], "running");
        assert_eq!(list[0]["argv"][2], script);
        id
    });

    step(
        "statistics tell what it uses, with what it has started",
        || {
            let shown = sandbox.out(&["vm", "stats", "--commands", "far"]);
            assert!(shown.contains("sh -c echo out"), "{shown}");
            let stats = sandbox
                .banger(&["vm", "stats", "far", "--json"])
                .ok()
                .json();
            let command = &stats[0]["guest"]["commands"][0];
            let number = |name: &str| command[name].as_u64().unwrap_or_default();
            assert!(
                number("processes") >= 1 && number("memory_bytes") > 0,
                "{stats}"
            );
        },
    );

    step("who follows it may leave it, and it goes on", || {
        let following = sandbox.banger(&["exec", "--attach", &id, "far"]).start();
        following.wait_for_stdout("out");
        following.wait_for_stderr("err");
        following.signal(Signal::INT);
        following.wait().exits(130);
    });

    step(
        "it outlives the daemon, and so does whoever follows it",
        || {
            let following = sandbox.banger(&["exec", "--attach", &id, "far"]).start();
            following.wait_for_stdout("out");
            kill_process(sandbox.daemon_pid(), Signal::KILL).unwrap();
            sandbox.in_guest("far", "touch /tmp/gate");
            let done = following.wait().exits(7);
            assert_eq!(done.out(), "out\nthrough");
            sandbox
                .banger(&["exec", "--wait", &id, "far"])
                .run()
                .exits(7);
            let list = sandbox
                .banger(&["exec", "--list", "far", "--json"])
                .ok()
                .json();
            assert_eq!(
                (&list[0]["state"], &list[0]["exit_code"]),
                (&"ended".into(), &7.into())
            );
        },
    );

    step("a signal and a missing program are told", || {
        sandbox
            .banger(&["exec", "--detach", "far", "--", "nonsense"])
            .run()
            .exits(127)
            .says("nonsense");
        sandbox
            .banger(&["exec", "--detach", "far", "--", "/etc/passwd"])
            .run()
            .exits(126);
        let id = sandbox.out(&["exec", "--detach", "far", "--", "sleep", "1000"]);
        let list = sandbox
            .banger(&["exec", "--list", "far", "--json"])
            .ok()
            .json();
        let pid = list[1]["pid"].to_string();
        sandbox.in_guest("far", &format!("kill -TERM {pid}"));
        sandbox
            .banger(&["exec", "--wait", &id, "far"])
            .run()
            .exits(128 + 15);
    });

    step("a watcher that is killed is told as lost", || {
        sandbox.out(&["exec", "--detach", "far", "--", "sleep", "1000"]);
        sandbox.in_guest("far", "pkill -KILL -f 'banger-detache[d] detached'");
        eventually("the command is lost", Duration::from_secs(10), || {
            let list = sandbox
                .banger(&["exec", "--list", "far", "--json"])
                .ok()
                .json();
            (list[2]["state"] == "lost").then_some(())
        });
    });

    step("a start begins anew", || {
        sandbox.banger(&["vm", "restart", "far"]).ok();
        let list = sandbox
            .banger(&["exec", "--list", "far", "--json"])
            .ok()
            .json();
        assert_eq!(list.as_array().map(Vec::len), Some(0));
    });
}
