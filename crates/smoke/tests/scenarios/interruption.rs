//! Ctrl-C at every kind of moment of `vm run`: it ends quickly and cleanly.

use std::thread;
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};
use rustix::process::Signal;

use crate::guests::minimal;

const SOON: Duration = Duration::from_secs(20);
/// Time until the program handles the signal, in milliseconds, on a busy machine.
const EARLY: u64 = 150;

#[test]
fn an_interrupted_run_ends_cleanly_at_every_moment() {
    let sandbox = Sandbox::new();
    let run = |more: &[&str]| {
        minimal(&sandbox, &["vm", "run", "--rm", "--name", "brief"], more)
            .deadline(SOON * 2)
            .start()
    };
    let gone = || {
        eventually("the VM is gone", SOON, || {
            sandbox.vm_names().is_empty().then_some(())
        });
        eventually("nothing is left of it", SOON, || {
            sandbox.left_of_vms().is_empty().then_some(())
        });
    };

    // Moments before anything can be seen from outside are picked by the clock; each must end the same way.
    for delay in [0, 20, 60, 150, 400] {
        step(&format!("{delay} ms after the start"), || {
            let running = run(&["--", "sleep", "1000"]);
            thread::sleep(Duration::from_millis(delay));
            running.signal(Signal::INT);
            let ended = running.wait();
            // The first moments may come before the program handles the signal; it has made nothing then.
            let early = delay <= EARLY && ended.signal == Some(Signal::INT.as_raw());
            assert!(early || ended.code == Some(130), "{ended}");
            gone();
        });
    }

    step("while the guest boots", || {
        let running = run(&["--", "sleep", "1000"]);
        eventually("a VMM runs", SOON, || {
            (!sandbox.vmm_pids().is_empty()).then_some(())
        });
        running.signal(Signal::INT);
        running.wait().exits(130);
        gone();
    });

    step("while the command runs", || {
        let running = run(&["--", "sh", "-c", "echo up; exec sleep 1000"]);
        running.wait_for_stdout("up");
        running.signal(Signal::INT);
        running.wait().exits(130);
        gone();
    });
}
