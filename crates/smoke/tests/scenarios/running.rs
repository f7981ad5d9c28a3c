//! `vm run -- COMMAND`: output, input, exit codes, nothing left.

use std::time::Duration;

use banger_smoke::{Sandbox, step};

use crate::guests::{MINIMAL, SMALL, minimal};

#[test]
fn a_command_runs_in_a_real_guest_and_its_output_input_and_code_come_back() {
    let sandbox = Sandbox::new();

    step("output and stages", || {
        let ran = minimal(
            &sandbox,
            &["vm", "run", "--rm", "--timings"],
            &["--", "uname", "-a"],
        )
        .ok();
        assert!(ran.out().starts_with("Linux "), "{ran}");
        let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        assert!(
            !ran.out().contains(host.trim()),
            "the guest should run a kernel of its own: {ran}"
        );
        let ran = ran.says("prepare_work_disk");
        assert!(
            ran.err().contains("ms") || ran.err().contains(" s"),
            "stages should have times: {ran}"
        );
        sandbox.assert_no_vm();
    });

    step("input, environment, both outputs, exit code 42", || {
        let script = "cat; echo \"$GREETING\"; echo trouble >&2; exit 42";
        let ran = sandbox
            .banger(
                &[
                    &["run", "--rm", "--image", MINIMAL, "--env", "GREETING=hello"],
                    &SMALL[..],
                    &["--", "sh", "-c", script],
                ]
                .concat(),
            )
            .input("from standard input\n")
            .run()
            .exits(42)
            .says("trouble");
        assert_eq!(ran.out(), "from standard input\nhello");
        sandbox.assert_no_vm();
    });
}

#[test]
fn two_runs_at_once_do_not_disturb_each_other() {
    let sandbox = Sandbox::new();
    let script = "hostname; cat /proc/sys/kernel/random/boot_id; cat /etc/machine-id; touch /root/mine; ls /root";
    let start = |name| {
        minimal(
            &sandbox,
            &["vm", "run", "--rm", "--name", name],
            &["--", "sh", "-c", script],
        )
        .start()
    };
    let (first, second) = (start("first"), start("second"));
    let (first, second) = (first.wait().ok().out(), second.wait().ok().out());

    let lines = |out: &str| out.lines().map(str::to_owned).collect::<Vec<_>>();
    let (first, second) = (lines(&first), lines(&second));
    assert_eq!((first.len(), second.len()), (4, 4), "{first:?} {second:?}");
    assert_eq!(
        (first[0].as_str(), second[0].as_str()),
        ("first", "second"),
        "host names"
    );
    assert_ne!(first[1], second[1], "boot ids");
    assert_ne!(first[2], second[2], "machine ids");
    assert_eq!(
        (first[3].as_str(), second[3].as_str()),
        ("mine", "mine"),
        "work disks are their own"
    );
    sandbox.assert_no_vm();
}

#[test]
fn exec_and_detached_runs_behave_as_a_shell_expects() {
    let sandbox = Sandbox::new();
    let name = "kept";

    step("a detached run returns while the VM runs", || {
        minimal(&sandbox, &["vm", "run", "--detach", "--name", name], &[]).ok();
        assert_eq!(sandbox.state(name), "running");
    });

    step("exit codes and signals of the guest's command", || {
        sandbox.banger(&["exec", name, "--", "true"]).ok();
        sandbox
            .banger(&["exec", name, "--", "sh", "-c", "exit 3"])
            .run()
            .exits(3);
        sandbox
            .banger(&["exec", name, "--", "sh", "-c", "kill -TERM $$"])
            .run()
            .exits(128 + 15);
        sandbox
            .banger(&["exec", name, "--", "/no/such/program"])
            .run()
            .exits(127)
            .says("/no/such/program");
        sandbox
            .banger(&["exec", name, "--", "/etc/hostname"])
            .run()
            .exits(126);
    });

    step("working directory and environment", || {
        let out = sandbox.out(&[
            "exec",
            "-w",
            "/etc",
            "-e",
            "A=b c",
            name,
            "--",
            "sh",
            "-c",
            "pwd; echo $A",
        ]);
        assert_eq!(out, "/etc\nb c");
        assert_eq!(sandbox.out(&["exec", name, "--", "pwd"]), "/root");
    });

    step(
        "standard input ends, and a megabyte goes through unchanged",
        || {
            let bytes: Vec<u8> = (0..1024 * 1024_u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
                .collect();
            let back = sandbox
                .banger(&["exec", name, "--", "cat"])
                .input(bytes.clone())
                .ok();
            assert!(
                back.stdout == bytes,
                "{} bytes came back of {}",
                back.stdout.len(),
                bytes.len()
            );
        },
    );

    step("a signal to exec reaches the guest's command", || {
        let script = "trap 'echo told; exit 9' INT; echo ready; while :; do sleep 0.1; done";
        let running = sandbox
            .banger(&["exec", name, "--", "sh", "-c", script])
            .deadline(Duration::from_secs(30))
            .start();
        running.wait_for_stdout("ready");
        running.signal(rustix::process::Signal::INT);
        let ended = running.wait();
        assert!(ended.out().ends_with("told"), "{ended}");
        ended.exits(9);
    });

    step("many commands at once in one guest", || {
        let start = |number: usize| {
            let script = format!("sleep 0.2; echo {number}");
            sandbox
                .banger(&["exec", name, "--", "sh", "-c", &script])
                .start()
        };
        let running: Vec<_> = (0..8).map(start).collect();
        for (number, command) in running.into_iter().enumerate() {
            assert_eq!(command.wait().ok().out(), number.to_string());
        }
    });
}
