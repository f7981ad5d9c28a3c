//! Wait for the start of a guest whose init is systemd.

use std::time::Duration;

use crate::{Sandbox, eventually};

/// Time limit for systemd's whole start under emulation on a loaded machine.
pub const BOOT: Duration = Duration::from_secs(180);

/// Waits until the guest's systemd has started everything, and asserts that no unit failed.
///
/// The agent answers before systemd has begun: until then systemctl reports the guest as offline.
///
/// # Panics
/// It does not start in time, or units failed, with their names.
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
