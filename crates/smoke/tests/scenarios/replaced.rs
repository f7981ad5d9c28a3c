//! A newer build of banger over a running daemon: no running command ends by it.

use std::time::Duration;

use banger_smoke::{OldBuild, Running, Sandbox, eventually, step};

use crate::guests::{MINIMAL, SMALL, boot, boot_id};

const NAME: &str = "works";
const SOON: Duration = Duration::from_secs(30);
/// Prints `up`, waits for a file, and then prints proof that it was not interrupted.
const WORK: &str = "echo up; while [ ! -e /tmp/go ]; do sleep 0.2; done; echo through";

/// A command, one over SSH and one with much input, all running until [`let_go`].
fn work(sandbox: &Sandbox, program: &std::path::Path) -> Vec<Running> {
    sandbox.in_guest(NAME, "rm -f /tmp/go");
    let exec = sandbox
        .banger_of(program, &["exec", NAME, "--", "sh", "-c", WORK])
        .start();
    let ssh = sandbox
        .banger_of(program, &["ssh", NAME, "--", WORK])
        .start();
    let input = vec![b'x'; 3 << 20];
    let cat = "echo up; while [ ! -e /tmp/go ]; do sleep 0.2; done; wc -c; echo through";
    let filter = sandbox
        .banger_of(program, &["exec", NAME, "--", "sh", "-c", cat])
        .input(input)
        .start();
    for running in [&exec, &ssh, &filter] {
        running.wait_for_stdout("up");
    }
    vec![exec, ssh, filter]
}

fn let_go(sandbox: &Sandbox, under_way: Vec<Running>) {
    sandbox.in_guest(NAME, "touch /tmp/go");
    for running in under_way {
        assert!(running.wait().ok().out().ends_with("through"));
    }
}

#[test]
fn exec_ssh_and_cp_go_on_while_a_newer_build_is_used() {
    let sandbox = Sandbox::new();
    boot(&sandbox, NAME);
    let booted = boot_id(&sandbox, NAME);
    let newer = sandbox.newer_build();
    let under_way = work(&sandbox, sandbox.binary());
    let pid = sandbox.daemon_pid();
    // Large enough to be still running while the newer build is used.
    let copied = sandbox.folder().join("copied");
    let copied_to = copied.display().to_string();
    sandbox.in_guest(NAME, "head -c 200000000 /dev/zero > /tmp/large");
    let from = format!("{NAME}:/tmp/large");
    let copy = sandbox.banger(&["cp", &from, &copied_to]).start();

    step(
        "reads and changes of the newer build are served by the older daemon",
        || {
            sandbox.banger_of(&newer, &["ps"]).ok();
            sandbox
                .banger_of(&newer, &["exec", NAME, "--", "true"])
                .ok();
            let create = [
                "vm",
                "create",
                "--no-start",
                "--name",
                "other",
                "--image",
                MINIMAL,
            ];
            sandbox
                .banger_of(&newer, &[&create[..], &SMALL].concat())
                .ok();
            assert_eq!(sandbox.daemon_pid(), pid);
        },
    );
    step("status and stop name what is under way", || {
        let status = sandbox.banger_of(&newer, &["daemon", "status"]).ok().out();
        for part in ["exec", NAME, "newer build"] {
            assert!(status.contains(part), "{part} in {status}");
        }
        let refused = sandbox
            .banger_of(&newer, &["daemon", "stop"])
            .run()
            .exits(4);
        assert!(refused.err().contains(NAME), "{refused}");
        assert!(refused.err().contains("--force"), "{refused}");
        assert_eq!(sandbox.daemon_pid(), pid);
    });
    step("all of it comes to its own end", || {
        copy.wait().ok();
        let meta = std::fs::metadata(&copied).map(|meta| meta.len());
        assert_eq!(meta.ok(), Some(200_000_000));
        let_go(&sandbox, under_way);
    });
    step(
        "then the newer build takes over with the next change",
        || {
            sandbox.banger_of(&newer, &["vm", "delete", "other"]).ok();
            assert_ne!(sandbox.daemon_pid(), pid);
            assert_eq!(boot_id(&sandbox, NAME), booted);
        },
    );
    step("--force cuts", || {
        let exec = sandbox
            .banger_of(
                &newer,
                &["exec", NAME, "--", "sh", "-c", "echo up; sleep 1000"],
            )
            .start();
        exec.wait_for_stdout("up");
        sandbox
            .banger_of(&newer, &["daemon", "stop"])
            .run()
            .exits(4);
        sandbox
            .banger_of(&newer, &["daemon", "stop", "--force"])
            .ok();
        let cut = exec.wait();
        assert_ne!(cut.code, Some(0), "{cut}");
        assert_eq!(boot_id(&sandbox, NAME), booted);
    });
}

#[test]
fn a_state_folder_of_an_old_build_with_a_running_vm_is_upgraded() {
    let old = OldBuild::find();
    let sandbox = Sandbox::empty();
    if let Err(error) = old.guests().give_to(&sandbox.banger_home()) {
        panic!("{error}");
    }
    let program = old.program().to_owned();
    let with_old = |words: &[&str]| sandbox.banger_of(&program, words);
    let image = [&["--image", MINIMAL][..], &SMALL].concat();
    with_old(&[&["vm", "create", "--name", NAME], &image[..]].concat()).ok();
    let write = "echo kept > /root/file; echo kept > /etc/kept; sync";
    with_old(&["exec", NAME, "--", "sh", "-c", write]).ok();
    let booted = with_old(&["exec", NAME, "--", "cat", "/proc/sys/kernel/random/boot_id"])
        .ok()
        .out();
    let vmm = sandbox.vmm_pids();

    step(
        "what runs through the old daemon is not cut by today's build",
        || {
            let old_pid = sandbox.daemon_pid();
            let exec = with_old(&["exec", NAME, "--", "sh", "-c", WORK]).start();
            exec.wait_for_stdout("up");
            sandbox.banger(&["ps"]).ok();
            let refused = sandbox.banger(&["daemon", "stop"]).run().exits(4);
            assert!(refused.err().contains("--force"), "{refused}");
            sandbox.in_guest(NAME, "touch /tmp/go");
            assert!(exec.wait().ok().out().ends_with("through"));
            assert_eq!(sandbox.daemon_pid(), old_pid);
        },
    );
    step("its daemon is killed in the middle of a plan", || {
        let half = with_old(&[&["vm", "create", "--name", "half"], &image[..]].concat()).start();
        eventually("a second VMM is started", SOON, || {
            (sandbox.vmm_pids().len() > vmm.len()).then_some(())
        });
        let pid = sandbox.daemon_pid();
        if let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
            panic!("cannot kill the old daemon: {error}");
        }
        let cut = half.wait();
        assert_ne!(cut.code, Some(0), "{cut}");
    });
    step("today's build adopts the VM and settles the plan", || {
        assert_eq!(sandbox.state(NAME), "running");
        assert_eq!(boot_id(&sandbox, NAME), booted);
        eventually("the half-made VM is gone", SOON, || {
            (sandbox.vm_names() == [NAME] && sandbox.vmm_pids() == vmm).then_some(())
        });
        assert_eq!(
            sandbox.in_guest(NAME, "cat /root/file /etc/kept"),
            "kept\nkept"
        );
    });
    step("its disks are kept when it starts anew", || {
        sandbox.banger(&["vm", "restart", NAME]).ok();
        assert_ne!(boot_id(&sandbox, NAME), booted);
        assert_eq!(
            sandbox.in_guest(NAME, "cat /root/file /etc/kept"),
            "kept\nkept"
        );
        sandbox.banger(&["vm", "delete", "--force", NAME]).ok();
        sandbox.assert_no_vm();
    });
}

#[test]
fn a_guest_boots_below_a_path_longer_than_a_socket_s_address() {
    let sandbox = Sandbox::new();
    let long = sandbox.folder().join("l".repeat(150));
    if let Err(error) = std::fs::rename(sandbox.banger_home(), &long) {
        panic!("cannot move the home: {error}");
    }
    let long = long.display().to_string();
    let banger = |words: &[&str]| sandbox.banger(words).env("BANGER_HOME", &long);
    let image = [&["--image", MINIMAL][..], &SMALL].concat();
    banger(&[&["vm", "create", "--name", NAME], &image[..]].concat()).ok();
    let said = banger(&["exec", NAME, "--", "echo", "through"]).ok().out();
    assert_eq!(said, "through");
    banger(&["vm", "delete", "--force", NAME]).ok();
    banger(&["daemon", "stop"]).ok();
    if let Err(error) = std::fs::rename(&long, sandbox.banger_home()) {
        panic!("cannot move the home back: {error}");
    }
}
