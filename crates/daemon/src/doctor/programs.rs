//! Programs of the host: none is needed to run a VM, each for something else.

use std::ffi::OsStr;

use banger_api::doctor::Check;
use banger_command::find_in_path;

/// A program, what is done with it, and the way to have it.
const PROGRAMS: [(&str, &str, &str); 4] = [
    (
        "git",
        "repositories go into VMs with it",
        "install package git",
    ),
    (
        "ssh",
        "banger ssh and NAME.vm are reached with it",
        "install package openssh-client; banger exec needs none",
    ),
    (
        "mmdebstrap",
        "images are built from recipes with it",
        "install package mmdebstrap; or bring images: banger image pull debian:12",
    ),
    (
        "apt-get",
        "the default kernel is fetched with it",
        "import a kernel of your own: banger kernel import --help",
    ),
];

pub(super) fn checks() -> Vec<Check> {
    let path = std::env::var_os("PATH");
    let mut checks: Vec<_> = PROGRAMS
        .into_iter()
        .map(|(name, purpose, fix)| program(name, purpose, fix, path.as_deref()))
        .collect();
    checks.push(user_ids());
    checks
}

fn program(name: &str, purpose: &str, fix: &str, path: Option<&OsStr>) -> Check {
    match find_in_path(name, path) {
        Some(found) => Check::ok(name, found.display().to_string()),
        None => Check::warn(name, format!("not found on PATH; {purpose}"), fix),
    }
}

/// Subordinate ids serve the building of images alone.
fn user_ids() -> Check {
    let name = "subordinate ids";
    match banger_image::build_mode() {
        Ok(mode) => Check::ok(
            name,
            format!("VMs need none; images are built in mode {mode}"),
        ),
        Err(error) => Check::warn(
            name,
            format!("VMs need none, but images cannot be built: {error}"),
            "bring images instead: banger image pull debian:12",
        ),
    }
}

#[cfg(test)]
mod tests {
    use banger_api::doctor::Status;

    use super::*;

    #[test]
    fn a_program_that_is_missing_is_a_warning_with_its_package() {
        let empty = tempfile::tempdir().unwrap();
        let path = Some(empty.path().as_os_str());
        for (name, purpose, fix) in PROGRAMS {
            let check = program(name, purpose, fix, path);
            assert_eq!(check.status, Status::Warn, "{name}");
            assert!(check.cause.contains(purpose), "{}", check.cause);
        }
    }
}
