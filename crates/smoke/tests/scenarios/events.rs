//! Events: each change once, in order, over the end of a daemon.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_smoke::{Sandbox, step};
use rustix::process::Signal;
use serde_json::Value;

use crate::guests::minimal;

const NAME: &str = "told";

#[test]
fn who_follows_events_misses_none_and_gets_none_twice_whatever_becomes_of_the_daemon() {
    let sandbox = Sandbox::new();
    minimal(
        &sandbox,
        &["vm", "create", "--no-start", "--name", "before"],
        &[],
    )
    .ok();

    let following = sandbox
        .banger(&["events", "--follow", "--json", "--after", "start"])
        .start();
    step("what was before is told, and what comes", || {
        following.wait_for_stdout("\"name\":\"before\"");
        minimal(
            &sandbox,
            &["vm", "create", "--no-start", "--name", NAME],
            &[],
        )
        .ok();
        following.wait_for_stdout(&format!("\"name\":\"{NAME}\",\"state\":\"created\""));
    });

    step(
        "a daemon that ends is not started by who only looks",
        || {
            sandbox.banger(&["daemon", "stop"]).ok();
            sandbox.banger(&["rm", NAME]).ok();
            following.wait_for_stdout("vm_deleted");
        },
    );

    let events = lines(&following.stdout_so_far());
    step("every event comes once, in its order", || {
        let numbers: Vec<u64> = events.iter().map(number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let all = lines(
            &sandbox
                .banger(&["events", "--json", "--after", "start"])
                .ok()
                .out(),
        );
        assert_eq!(all[..events.len()], events[..], "the same as afterwards");
        let told: Vec<&str> = events
            .iter()
            .filter(|event| event["name"] == NAME)
            .filter_map(|event| event["event"].as_str())
            .collect();
        assert_eq!(
            told,
            [
                "operation_began",
                "vm_created",
                "operation_ended",
                "operation_began",
                "vm_state",
                "vm_deleted",
                "operation_ended"
            ][..told.len()],
            "{events:#?}"
        );
        assert!(told.contains(&"vm_deleted"));
    });

    step("a cursor goes on where it was, for one VM as well", || {
        let cursor = events[2]["cursor"].as_str().unwrap();
        let rest = sandbox
            .banger(&["events", "--json", "--after", cursor])
            .ok();
        assert_eq!(number(&lines(&rest.out())[0]), number(&events[3]));
        let of_one = sandbox.banger(&["events", NAME, "--json", "-n", "1"]).ok();
        let of_one = lines(&of_one.out());
        assert_eq!(of_one.len(), 1);
        assert_eq!(of_one[0]["event"], "operation_ended");
        let text = sandbox.banger(&["events", NAME]).ok().out();
        assert!(text.contains(&format!("vm {NAME}: deleted")), "{text}");
    });

    step(
        "a cursor of another log, or none at all, is refused",
        || {
            sandbox
                .banger(&["events", "--after", "00000000-1"])
                .run()
                .exits(2)
                .says("of another log");
            let log = events[0]["cursor"].as_str().unwrap();
            let log = log.split('-').next().unwrap();
            sandbox
                .banger(&["events", "--after", &format!("{log}-99999999")])
                .run()
                .exits(2)
                .says("has not happened");
            sandbox
                .banger(&["events", "--after", "yesterday"])
                .run()
                .exits(2)
                .says("is not a cursor");
        },
    );

    step("Ctrl-C ends it", || {
        following.signal(Signal::INT);
        assert_ne!(following.wait().ending(), "");
    });
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn number(event: &Value) -> u64 {
    let cursor = event["cursor"].as_str().unwrap();
    cursor.rsplit_once('-').unwrap().1.parse().unwrap()
}
