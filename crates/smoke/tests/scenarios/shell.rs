//! The interactive shell, at a real pseudo-terminal.

use banger_smoke::{Sandbox, step};
use rustix::process::Signal;

use crate::guests::{MINIMAL, SMALL};

#[test]
fn an_interactive_shell_has_a_proper_terminal_and_gives_it_back() {
    let sandbox = Sandbox::new();
    let name = "sh";
    let run = [
        &["vm", "run", "--name", name, "--image", MINIMAL],
        &SMALL[..],
    ]
    .concat();
    let mut terminal = sandbox.terminal(&run, 24, 80);

    step(
        "the shell is at a terminal of the window's size, in raw mode",
        || {
            terminal.type_keys("echo at-$(stty size | tr ' ' x)\n");
            terminal.expect("at-24x80");
            assert!(
                terminal.is_raw(),
                "keys should go to the guest as they are typed"
            );
        },
    );

    step("a resize reaches the guest", || {
        terminal.resize(50, 132);
        terminal.type_keys(
            "while [ \"$(stty size)\" != '50 132' ]; do sleep 0.1; done; echo re$((1))sized\n",
        );
        terminal.expect("re1sized");
    });

    step("Ctrl-C interrupts the guest's command, not banger", || {
        // One process group prints the word and sleeps: the shell no longer owns the terminal then.
        terminal.type_keys("sh -c 'echo be$((1))fore; exec sleep 1000'\n");
        terminal.expect("be1fore");
        terminal.type_keys("\x03");
        terminal.type_keys("echo af$((1))ter\n");
        terminal.expect("af1ter");
    });

    step(
        "leaving gives the shell's code, the terminal as it was, and the way back",
        || {
            terminal.type_keys("exit 7\n");
            assert_eq!(terminal.wait(), 7, "{}", terminal.screen());
            assert!(
                terminal.is_restored(),
                "the terminal should be as it was before"
            );
            terminal.expect("banger exec sh");
            assert_eq!(sandbox.state(name), "running", "without --rm the VM stays");
        },
    );

    step("run with its name again goes in, stopped or not", || {
        let go = || {
            sandbox
                .banger(&["run", "--name", name, "--", "hostname"])
                .ok()
        };
        assert_eq!(go().out(), name);
        sandbox.banger(&["stop", name]).ok();
        let ran = go();
        assert_eq!(ran.out(), name);
        assert!(ran.err().contains("is stopped: starting it"), "{ran}");
    });

    step("what it does not have, and --rm, are refused", || {
        sandbox
            .banger(&["run", "--name", name, "--vcpu", "7", "--", "true"])
            .run()
            .exits(4)
            .says("vcpu is ")
            .says("banger vm set sh --vcpu 7");
        sandbox
            .banger(&["run", "--rm", "--name", name, "--", "true"])
            .run()
            .exits(4)
            .says("--rm would delete it");
        assert_eq!(sandbox.vm_names(), [name]);
    });

    step(
        "exec -t gives the terminal back when it is told to end",
        || {
            let mut terminal = sandbox.terminal(
                &["exec", "-t", name, "--", "sh", "-c", "echo up; sleep 1000"],
                24,
                80,
            );
            terminal.expect("up");
            assert!(terminal.is_raw());
            terminal.signal(Signal::TERM);
            assert_ne!(terminal.wait(), 0);
            assert!(
                terminal.is_restored(),
                "the terminal should be as it was before"
            );
        },
    );
}
