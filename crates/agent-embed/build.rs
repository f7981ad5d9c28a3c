//! Builds the agent for guests and puts it where `include_bytes!` finds it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// Variables of the outer call that the inner one keeps: where things are, and the job server, so that both together
/// use as many processors as were asked for.
const KEPT: &[&str] = &["CARGO_HOME", "CARGO_MAKEFLAGS"];
/// Settings for the network, the terminal and the choice of the toolchain.
const KEPT_PREFIXES: &[&str] = &[
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "RUSTUP_",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let workspace = workspace(Path::new(&variable("CARGO_MANIFEST_DIR")?))?;
    // From this package, not absolute: a copy of a build folder belongs to the sources beside it.
    for part in [
        "../agent",
        "../authorities",
        "../guest",
        "../module-index",
        "../tar",
        "../../Cargo.lock",
        "../../Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={part}");
    }
    // The host's: guests run on the host's processors.
    let triple = variable("HOST")?;
    let target_dir = target_dir(&out_dir)?.join("agent");
    build(&workspace, &target_dir, &triple)?;

    let built = target_dir.join(&triple).join("agent").join("banger-agent");
    let bytes = std::fs::read(&built)
        .map_err(|error| format!("cannot read {}: {error}", built.display()))?;
    // A copy of our own: another outer build may replace that one while we are being compiled.
    let copy = out_dir.join("banger-agent");
    if std::fs::read(&copy).ok().as_deref() != Some(bytes.as_slice()) {
        std::fs::write(&copy, &bytes)?;
    }
    let mut digest = String::from("sha256:");
    for byte in Sha256::digest(&bytes) {
        write!(digest, "{byte:02x}")?;
    }
    println!("cargo::rustc-env=BANGER_AGENT_DIGEST={digest}");
    Ok(())
}

fn build(workspace: &Path, target_dir: &Path, triple: &str) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        // Neither --locked nor --offline: the outer call has brought the lock file up to date and fetched what is in
        // it, under its own flags, so that there is nothing left to do for which they could matter.
        .args([
            "build",
            "--package",
            "banger-agent",
            "--profile",
            "agent",
            "--quiet",
        ])
        // With a target named, flags are for the program alone, not for macros and build scripts.
        .args(["--target", triple, "--target-dir"])
        .arg(target_dir);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if is_of_outer_call(&name) {
            cargo.env_remove(&name);
        }
    }
    // The index of the tables for unwinding, 43 KB, is for programs that unwind: this one aborts when it panics.
    cargo.env(
        "CARGO_ENCODED_RUSTFLAGS",
        "-Ctarget-feature=+crt-static\x1f-Crelocation-model=static\x1f-Clink-arg=-Wl,--no-eh-frame-hdr",
    );
    let status = cargo.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cannot build the guest agent: {status}").into())
    }
}

fn is_of_outer_call(name: &str) -> bool {
    let set_by_cargo =
        name.starts_with("CARGO") || name.starts_with("RUST") || name.starts_with("DEP_");
    let told_to_scripts = [
        "TARGET",
        "HOST",
        "PROFILE",
        "DEBUG",
        "OPT_LEVEL",
        "OUT_DIR",
        "NUM_JOBS",
    ]
    .contains(&name);
    let kept = KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    (set_by_cargo || told_to_scripts) && !kept
}

/// The folder of all workspace members: the nearest one above that has a lock file.
fn workspace(package: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let found = package
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file());
    Ok(found
        .ok_or("no Cargo.lock above this package")?
        .to_path_buf())
}

/// The outer call's target folder: `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>-<hash>/out`.
fn target_dir(out_dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let profile = out_dir
        .ancestors()
        .skip(1)
        .find(|folder| folder.file_name().is_some_and(|name| name == "build"));
    let target = profile.and_then(|build| build.parent()?.parent());
    Ok(target
        .ok_or_else(|| format!("OUT_DIR {} is not in a target folder", out_dir.display()))?
        .to_path_buf())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
