//! Guests of the scenarios: small, without network, from the image that boots fastest.

pub use banger_smoke::{BOOT, reaches_running};
use banger_smoke::{Invocation, Sandbox, eventually};

/// The image without an init system: the agent is process 1, and it boots fastest.
pub const MINIMAL: &str = "debian-minimal";

/// Flags that keep a guest small and off the network.
pub const SMALL: [&str; 6] = ["--net", "none", "--vcpu", "1", "--memory", "512M"];

/// `banger <verb…> --image debian-minimal <small> <more…>`.
pub fn minimal(sandbox: &Sandbox, verb: &[&str], more: &[&str]) -> Invocation {
    sandbox.banger(&[verb, &["--image", MINIMAL], &SMALL, more].concat())
}

/// Makes and starts a VM called `name`.
pub fn boot(sandbox: &Sandbox, name: &str) {
    minimal(sandbox, &["vm", "create", "--name", name], &[]).ok();
    assert_eq!(sandbox.state(name), "running");
}

/// The guest kernel's id of this boot (random(4)).
pub fn boot_id(sandbox: &Sandbox, name: &str) -> String {
    sandbox.in_guest(name, "cat /proc/sys/kernel/random/boot_id")
}

/// Waits until a VM runs in another boot than this one.
pub fn comes_back(sandbox: &Sandbox, name: &str, before: &str) {
    eventually("the guest is up again", BOOT, || {
        let read = ["exec", name, "--", "cat", "/proc/sys/kernel/random/boot_id"];
        // Refused, or cut off, while it goes down and up.
        let read = sandbox.banger(&read).run();
        (read.code == Some(0) && read.out() != before).then_some(())
    });
    assert_eq!(sandbox.state(name), "running");
}
