//! How the scenarios make their guests: small, without network, from the image that boots fastest.

use std::time::Duration;

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

/// systemd's whole start under emulation on a loaded machine.
pub const BOOT: Duration = Duration::from_secs(180);

/// Waits until the guest's systemd has started everything, and asserts that nothing of it failed.
///
/// The agent answers before systemd has begun: until then systemctl calls the guest offline.
pub fn reaches_running(sandbox: &Sandbox, name: &str) {
    let state = eventually("systemd has started everything", BOOT, || {
        let state = sandbox
            .banger(&["exec", name, "--", "systemctl", "is-system-running"])
            .run()
            .out();
        (state == "running" || state == "degraded").then_some(state)
    });
    let failed = sandbox.in_guest(name, "systemctl --failed --no-legend");
    assert_eq!(state, "running", "failed units: {failed}");
}
