//! The Python package of `sdk/python`: its own tests, the core's and those against a daemon and a guest of this sandbox.

use std::path::PathBuf;
use std::time::Duration;

use banger_smoke::{Sandbox, step};

/// Time for all of them: some boots of an emulated guest, a suspend and a saved image.
const TESTED: Duration = Duration::from_secs(480);

/// The package in this checkout.
fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python")
}

#[test]
fn the_python_package_drives_a_daemon_and_a_guest() {
    let sandbox = Sandbox::new();
    let tests = package().join("tests").display().to_string();
    let words = ["-m", "unittest", "discover", "-v", "-s", &tests, "-t", &tests];
    let done = step("its tests, with this host's python3", || {
        sandbox
            .program("python3", &words)
            .env("PYTHONPATH", package().join("src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "error::ResourceWarning")
            .env("BANGER_BIN", sandbox.binary())
            .deadline(TESTED)
            .ok()
            .says("\nOK\n")
    });
    assert!(!done.err().contains("skipped"), "{}", done.err());
    sandbox.assert_no_vm();
}
