//! Control of a guest command from outside: signals, time limits, standard input, programs that read results.

use std::time::{Duration, Instant};

use banger_smoke::{Sandbox, step};
use rustix::process::{Signal, kill_process};

use crate::guests::boot;

const NAME: &str = "session";
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_command_is_driven_as_if_it_ran_here_and_left_when_its_guest_is_gone() {
    let sandbox = Sandbox::new();
    boot(&sandbox, NAME);
    let banger = sandbox.binary().display().to_string();
    let shell = |script: &str| {
        let script = script.replace("BANGER", &banger);
        sandbox.program("sh", &["-c", &script]).deadline(SOON * 2)
    };

    step(
        "a loop has all its lines, from a pipe and from a file",
        || {
            let each = "while read x; do BANGER exec session -- true; echo got $x; done";
            let piped = format!("printf '1\\n2\\n3\\n' | {each}");
            assert_eq!(shell(&piped).ok().out(), "got 1\ngot 2\ngot 3");
            let file = format!("printf '1\\n2\\n3\\n' > $HOME/lines; {each} < $HOME/lines");
            assert_eq!(shell(&file).ok().out(), "got 1\ngot 2\ngot 3");
        },
    );

    step("a command takes its line and leaves the rest", || {
        let two =
            "printf 'one\\ntwo\\nthree\\n' | { BANGER exec session sh -c 'read a; echo $a'; cat; }";
        assert_eq!(shell(two).ok().out(), "one\ntwo\nthree");
    });

    step("a long input arrives whole", || {
        let count = "head -c 20000000 /dev/zero | BANGER exec session -- wc -c";
        assert_eq!(shell(count).ok().out(), "20000000");
        let from_file = "head -c 5000000 /dev/zero > $HOME/zeros; BANGER exec session cat < $HOME/zeros | cmp - $HOME/zeros";
        shell(from_file).ok();
    });

    step(
        "a command has its time, with all that it has started",
        || {
            let words = [
                "exec",
                "--timeout",
                "2s",
                NAME,
                "sh",
                "-c",
                "setsid sleep 4321 & sleep 4321",
            ];
            sandbox.banger(&words).deadline(SOON).run().exits(124);
            let left = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[s]leep 4321' || true";
            assert_eq!(sandbox.in_guest(NAME, left), "0");
        },
    );

    step("the result is one object", || {
        let words = [
            "exec",
            "--json",
            NAME,
            "sh",
            "-c",
            "echo out; echo err >&2; exit 7",
        ];
        let result = sandbox.banger(&words).run().exits(7).json();
        let expected = serde_json::json!({
            "exit_code": 7, "timed_out": false, "stdout": "out\n", "stderr": "err\n",
        });
        assert_eq!(result, expected);
    });

    step(
        "an unknown terminal becomes a known one, a secret stays out of the words",
        || {
            let words = [
                "exec",
                "-t",
                "-e",
                "TOKEN",
                NAME,
                "sh",
                "-c",
                "echo $TERM $TOKEN",
            ];
            let ran = sandbox
                .banger(&words)
                .env("TERM", "no-such-terminal")
                .env("TOKEN", "sekrit");
            assert_eq!(ran.ok().out(), "xterm-256color sekrit");
        },
    );

    step(
        "failures of banger are told from the command's codes",
        || {
            sandbox
                .banger(&["exec", "-u", "nobody-here", NAME, "true"])
                .run()
                .exits(125);
            sandbox
                .banger(&["exec", "-w", "/no/such", NAME, "true"])
                .run()
                .exits(125);
            sandbox
                .banger(&["exec", NAME, "no-such-program"])
                .run()
                .exits(127);
            sandbox
                .banger(&["exec", NAME, "sh", "-c", "exit 1"])
                .run()
                .exits(1);
            sandbox
                .banger(&["exec", "no-such-vm", "true"])
                .run()
                .exits(3);
        },
    );

    step(
        "a command that hears SIGTERM and lives on is not left",
        || {
            let script = "trap 'echo heard' TERM; echo up; i=0; while [ $i -lt 70 ]; do sleep 0.1; i=$((i+1)); done; exit 9";
            let running = sandbox
                .banger(&["exec", NAME, "sh", "-c", script])
                .deadline(SOON)
                .start();
            running.wait_for_stdout("up");
            running.signal(Signal::TERM);
            assert_eq!(running.wait().exits(9).out(), "up\nheard");
        },
    );

    step(
        "a guest that stands still ends no caller's patience",
        || {
            let up = sandbox
                .banger(&["exec", NAME, "sh", "-c", "echo up; sleep 1000"])
                .deadline(SOON)
                .start();
            up.wait_for_stdout("up");
            let vmm = sandbox.vmm_pids()[0];
            assert!(kill_process(vmm, Signal::STOP).is_ok());
            let begun = Instant::now();
            shell("timeout 4 BANGER exec session -- true")
                .run()
                .exits(124);
            assert!(begun.elapsed() < SOON / 2, "one SIGTERM is enough");
            let late = sandbox.banger(&["exec", NAME, "true"]).deadline(SOON).run();
            late.exits(125)
                .says("VM \"session\": its guest did not answer within 10 s");
            up.signal(Signal::TERM);
            up.wait().exits(143);
            assert!(kill_process(vmm, Signal::CONT).is_ok());
            sandbox.banger(&["exec", NAME, "true"]).ok();
        },
    );

    sandbox.banger(&["vm", "delete", "--force", NAME]).ok();
    sandbox.assert_no_vm();
}
