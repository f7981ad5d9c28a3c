//! The Python package of `sdk/python`: its own tests, the core's and those against a daemon and a guest of this sandbox.

use std::path::PathBuf;
use std::time::Duration;

use banger_smoke::{Registry, Sandbox, note, step};

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
    let words = [
        "-m", "unittest", "discover", "-v", "-s", &tests, "-t", &tests,
    ];
    let done = step("its tests, with this host's python3", || {
        sandbox
            .program("python3", &words)
            .env("PYTHONPATH", package().join("src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "error::ResourceWarning")
            .env("BANGER_BIN", sandbox.binary())
            .deadline(TESTED)
            .ok()
            .says("\nOK")
    });
    assert!(!done.err().contains("skipped"), "{}", done.err());
    sandbox.assert_no_vm();
}

/// These packages come from the Python registry: `make harbor-trial` installs them and runs this.
#[test]
#[ignore = "needs the packages of Harbor and the Agents SDK: make harbor-trial"]
fn harbor_and_agents_work_in_machines() {
    let named = std::env::var("BANGER_HARBOR_PYTHON");
    let python = named.expect("BANGER_HARBOR_PYTHON names a Python with both: make harbor-trial");
    let sandbox = Sandbox::new();
    let registry = Registry::start(sandbox.folder());
    let reference = format!("{}/team/hello:1", registry.address());
    let archive = sandbox.folder().join("hello.tar").display().to_string();
    sandbox.out(&["image", "export", "debian-minimal", "--output", &archive]);
    let (from, to) = (
        format!("oci-archive:{archive}"),
        format!("docker://{reference}"),
    );
    let copy = [
        "copy",
        "--insecure-policy",
        "--dest-tls-verify=false",
        &from,
        &to,
    ];
    sandbox.program("skopeo", &copy).deadline(TESTED).ok();
    for tests in ["harbor_tests", "agents_tests"] {
        let folder = package().join(tests).display().to_string();
        let words = [
            "-c",
            "cd \"$1\" && exec \"$2\" -m unittest -v",
            "sh",
            &folder,
            &python,
        ];
        let mut command = sandbox
            .program("sh", &words)
            .env("PYTHONPATH", package().join("src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BANGER_BIN", sandbox.binary())
            .env("HARBOR_REFERENCE", &reference)
            .deadline(TESTED);
        for setting in ["HARBOR_TRIALS", "HARBOR_AT_ONCE"] {
            if let Some(value) = std::env::var_os(setting) {
                command = command.env(setting, value);
            }
        }
        let done = step(tests, || command.ok().says("\nOK"));
        note(&done.err());
        sandbox.assert_no_vm();
    }
}
