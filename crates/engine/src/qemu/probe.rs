//! The installed QEMU and its data files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::text::printable;

pub(super) const PROGRAM: &str = "qemu-system-x86_64";
/// Debian's and Ubuntu's name of the package.
pub(super) const PACKAGE: &str = "qemu-system-x86";

/// The version that the program states: "QEMU emulator version 7.2.22 (Debian …)".
pub(super) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .inspect_err(|error| tracing::warn!(program = %program.display(), %error, "cannot run"))
        .ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<String> {
    let (_, rest) = text.lines().next()?.split_once("version ")?;
    rest.split_ascii_whitespace().next().map(printable)
}

/// Major and minor number of a version: `7.2.22` is (7, 2). `None` for a version of another form.
pub fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Tells whether this QEMU comes with the `qboot` firmware: its data folder is `share/qemu` beside its `bin`.
pub(super) fn has_qboot(program: &Path) -> bool {
    let beside = program.canonicalize().ok().and_then(|exe| {
        let prefix = exe.parent()?.parent()?;
        Some(prefix.join("share/qemu"))
    });
    beside
        .into_iter()
        .chain([PathBuf::from("/usr/share/qemu")])
        .any(|dir| dir.join("qboot.rom").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_follows_the_word() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)\nCopyright (c) 2003-2022\n";
        assert_eq!(parse_version(text).as_deref(), Some("7.2.22"));
        for other in ["", "7.2\n", "version \n", "\nversion 1"] {
            assert_eq!(parse_version(other), None, "{other:?}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let is_newer = |version| numbers(version).is_some_and(|found| found >= (7, 2));
        for newer in ["7.2.22", "7.2", "8.0.0", "10.1.2", "7.10"] {
            assert!(is_newer(newer), "{newer}");
        }
        for older in ["7.1.9", "6.2.0", "", "7", "x.2"] {
            assert!(!is_newer(older), "{older}");
        }
    }

    #[test]
    fn a_program_that_cannot_run_has_no_version() {
        assert_eq!(version(Path::new("/nonexistent/qemu")), None);
    }
}
