//! Checkpoints: disks that are kept, the way back to them, and VMs that go on from them.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};

use crate::guests::{boot, boot_id, minimal};
use crate::workspace::{repository, text};

const SOON: Duration = Duration::from_secs(60);

/// Writes `word` to both disks, through to the VMM.
fn write(sandbox: &Sandbox, vm: &str, word: &str) {
    let script = format!("echo {word} > /root/word; echo {word} > /etc/word; sync");
    sandbox.in_guest(vm, &script);
}

/// The word on both disks.
fn word(sandbox: &Sandbox, vm: &str) -> String {
    sandbox.in_guest(vm, "cat /root/word /etc/word | sort -u")
}

fn stop(sandbox: &Sandbox, vm: &str) {
    sandbox.banger(&["vm", "stop", vm]).ok();
}

fn start(sandbox: &Sandbox, vm: &str) {
    sandbox.banger(&["vm", "start", vm]).ok();
}

fn checkpoint(sandbox: &Sandbox, vm: &str, name: &str) {
    let made = sandbox.banger(&["vm", "checkpoint", "create", vm, name]);
    assert_eq!(made.ok().out().trim(), name);
}

/// The names of its checkpoints, the current one with a star.
fn names(sandbox: &Sandbox, vm: &str) -> Vec<String> {
    let list = ["vm", "checkpoint", "list", vm, "--json"];
    let listed = sandbox.banger(&list).ok().json();
    let all = listed.as_array().cloned().unwrap_or_default();
    let name = |one: &serde_json::Value| {
        let star = if one["current"] == true { "*" } else { "" };
        format!("{}{star}", one["name"].as_str().unwrap_or_default())
    };
    all.iter().map(name).collect()
}

/// The directories of frozen layers.
fn layers(sandbox: &Sandbox) -> Vec<PathBuf> {
    let folder = sandbox.banger_home().join("state/layers");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn a_vm_goes_back_to_what_its_disks_were() {
    let sandbox = Sandbox::new();
    boot(&sandbox, "one");
    write(&sandbox, "one", "first");

    step(
        "kept while it runs and writes, and it notices nothing",
        || {
            let boot = boot_id(&sandbox, "one");
            let writes =
                "i=0; while :; do i=$((i+1)); echo $i > /root/n.new; mv /root/n.new /root/n; done";
            let detached = ["exec", "--detach", "one", "--", "sh", "-c", writes];
            sandbox.banger(&detached).ok();
            let count = |vm: &str| {
                let read = sandbox.in_guest(vm, "cat /root/n || true");
                read.parse().unwrap_or(0_u64)
            };
            eventually("it writes", SOON, || (count("one") > 0).then_some(()));
            for name in ["live", "again"] {
                checkpoint(&sandbox, "one", name);
                let before = count("one");
                eventually("it writes on", SOON, || {
                    (count("one") > before).then_some(())
                });
            }
            assert_eq!(boot_id(&sandbox, "one"), boot);
            write(&sandbox, "one", "after");
            let grow = ["vm", "set", "one", "--disk-size", "9G"];
            sandbox.banger(&grow).ok();
            let mib = "df --output=size -B1M /root | tail -n 1";
            let mib: u64 = sandbox.in_guest("one", mib).trim().parse().unwrap_or(0);
            assert!(mib > 8_300, "{mib} MiB");
            let back = [
                "vm",
                "checkpoint",
                "restore",
                "one",
                "live",
                "--discard-current",
            ];
            sandbox.banger(&back).ok();
            assert_ne!(boot_id(&sandbox, "one"), boot);
            assert_eq!(word(&sandbox, "one"), "first");
            sandbox.in_guest("one", "test -e /root/n && rm -f /root/n*");
            for name in ["live", "again"] {
                sandbox
                    .banger(&["vm", "checkpoint", "delete", "one", name])
                    .ok();
            }
            assert_eq!(layers(&sandbox).len(), 1);
        },
    );

    step("it goes on from a checkpoint, over it", || {
        stop(&sandbox, "one");
        checkpoint(&sandbox, "one", "a");
        start(&sandbox, "one");
        assert_eq!(word(&sandbox, "one"), "first");
        write(&sandbox, "one", "second");
        stop(&sandbox, "one");
        checkpoint(&sandbox, "one", "b");
        start(&sandbox, "one");
        assert_eq!(word(&sandbox, "one"), "second");
        write(&sandbox, "one", "third");
        assert_eq!(names(&sandbox, "one"), ["a", "b*"]);
        assert_eq!(layers(&sandbox).len(), 3);
    });

    step(
        "a disk over layers grows, while its VM runs and not",
        || {
            let size = "df --output=size -B1M /root | tail -n 1";
            for (gib, runs) in [(10, true), (12, false)] {
                if !runs {
                    stop(&sandbox, "one");
                }
                let disk = format!("{gib}G");
                sandbox
                    .banger(&["vm", "set", "one", "--disk-size", &disk])
                    .ok();
                if !runs {
                    start(&sandbox, "one");
                }
                let mib: u64 = sandbox.in_guest("one", size).trim().parse().unwrap_or(0);
                assert!(mib > (gib - 1) * 1024, "{mib} MiB of {gib} GiB");
            }
            assert_eq!(word(&sandbox, "one"), "third");
        },
    );

    step("back, and what was there is kept", || {
        let back = ["vm", "checkpoint", "restore", "one", "a"];
        sandbox.banger(&back).ok();
        assert_eq!(sandbox.state("one"), "running");
        assert_eq!(word(&sandbox, "one"), "first");
        assert_eq!(names(&sandbox, "one"), ["a*", "b", "c1"]);
        write(&sandbox, "one", "fourth");
        let to_it = ["vm", "checkpoint", "restore", "one", "c1"];
        let discard = ["--discard-current"];
        sandbox.banger(&[&to_it[..], &discard].concat()).ok();
        assert_eq!(word(&sandbox, "one"), "third");
        assert_eq!(names(&sandbox, "one"), ["a", "b", "c1*"]);
    });

    step("an image of it has what is on its disks", || {
        stop(&sandbox, "one");
        sandbox.banger(&["vm", "save", "one", "saved"]).ok();
        let run = ["vm", "run", "--rm", "--image", "saved", "--memory", "512M"];
        let read = ["--", "cat", "/etc/word"];
        let ran = sandbox.banger(&[&run[..], &read].concat()).ok();
        assert_eq!(ran.out().trim(), "third");
        sandbox.banger(&["image", "delete", "saved"]).ok();
        start(&sandbox, "one");
    });

    step("undone after rm -rf /usr", || {
        let exec = |more: &[&str]| sandbox.banger(&[&["exec"], more].concat());
        let remove = ["--checkpoint", "one", "--", "rm", "-rf", "/usr"];
        exec(&remove).run();
        exec(&["one", "--", "ls"]).run().exits(127);
        for (name, kept) in [("c2", "third"), ("b", "second")] {
            let back = ["vm", "checkpoint", "restore", "one", name];
            let discard = ["--discard-current"];
            sandbox.banger(&[&back[..], &discard].concat()).ok();
            assert_eq!(word(&sandbox, "one"), kept);
        }
        sandbox
            .banger(&["vm", "checkpoint", "delete", "one", "c2"])
            .ok();
    });

    step("another daemon knows them", || {
        sandbox.banger(&["daemon", "stop", "--force"]).ok();
        assert_eq!(names(&sandbox, "one"), ["a", "b*", "c1"]);
    });

    step("they go in any order, and what is needed stays", || {
        sandbox
            .banger(&["vm", "checkpoint", "delete", "one", "a"])
            .ok();
        assert_eq!(layers(&sandbox).len(), 4, "all lie over it");
        sandbox
            .banger(&["vm", "checkpoint", "delete", "one", "c1"])
            .ok();
        assert_eq!(layers(&sandbox).len(), 3);
        sandbox
            .banger(&["vm", "checkpoint", "delete", "one", "nothing"])
            .run()
            .exits(3);
        assert_eq!(names(&sandbox, "one"), ["b*"]);
        stop(&sandbox, "one");
        start(&sandbox, "one");
        assert_eq!(word(&sandbox, "one"), "second");
        sandbox.banger(&["vm", "delete", "--force", "one"]).ok();
        assert!(layers(&sandbox).is_empty(), "{:?}", layers(&sandbox));
    });
}

#[test]
fn forks_have_the_disks_of_their_parent_and_go_their_own_ways() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let repo = sandbox.home().join("repo");
    repository(&repo)?;
    let words = [text(&repo), "--", "true"];
    minimal(&sandbox, &["run", "--name", "agent"], &words).ok();
    write(&sandbox, "agent", "first");

    step("three at once, from what the disks are now", || {
        let forked = sandbox
            .banger(&["vm", "fork", "agent", "--count", "3"])
            .ok();
        assert_eq!(forked.out(), "agent-1\nagent-2\nagent-3");
        for name in ["agent-1", "agent-2", "agent-3"] {
            assert_eq!(sandbox.state(name), "running");
            assert_eq!(word(&sandbox, name), "first");
            assert_eq!(sandbox.in_guest(name, "hostname"), name);
            sandbox.in_guest(name, &format!("echo {name} >> README"));
        }
        let id = |name: &str| sandbox.in_guest(name, "cat /etc/machine-id");
        let ids = ["agent-1", "agent-2", "agent-3"].map(id);
        assert!(
            ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
            "{ids:?}"
        );
    });

    step("each is exported apart", || {
        for name in ["agent-1", "agent-2", "agent-3"] {
            let patch = sandbox.out(&["vm", "workspace", "export", name]);
            let added: Vec<&str> = patch.lines().filter(|line| line.starts_with('+')).collect();
            assert!(added.contains(&format!("+{name}").as_str()), "{patch}");
            assert_eq!(patch.matches("+agent-").count(), 1, "{patch}");
        }
        assert_eq!(sandbox.out(&["vm", "workspace", "export", "agent"]), "");
    });

    step("from a checkpoint of a VM that runs", || {
        write(&sandbox, "agent", "second");
        let fork = [
            "vm",
            "fork",
            "agent",
            "--checkpoint",
            "c1",
            "--name",
            "other",
        ];
        sandbox.banger(&[&fork[..], &["--no-start"]].concat()).ok();
        assert_eq!(sandbox.state("other"), "created");
        start(&sandbox, "other");
        assert_eq!(word(&sandbox, "other"), "first");
        assert_eq!(word(&sandbox, "agent"), "second");
    });

    step("the parent goes, and what its forks need stays", || {
        sandbox.banger(&["vm", "delete", "--force", "agent"]).ok();
        assert_eq!(layers(&sandbox).len(), 1);
        for name in ["agent-1", "other"] {
            stop(&sandbox, name);
            start(&sandbox, name);
            assert_eq!(word(&sandbox, name), "first");
        }
        stop(&sandbox, "agent-2");
        checkpoint(&sandbox, "agent-2", "mine");
        assert_eq!(layers(&sandbox).len(), 2);
        for name in ["agent-1", "agent-2", "agent-3", "other"] {
            sandbox.banger(&["vm", "delete", "--force", name]).ok();
        }
        assert!(layers(&sandbox).is_empty(), "{:?}", layers(&sandbox));
    });
    Ok(())
}
