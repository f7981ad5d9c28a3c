//! A unit of systemd that brings the agent back when service and keeper were ended together: see [`crate::keeper`].
//!
//! [`Units`] says why it stays.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use banger_guest::Failure;

use super::units::Units;
use crate::failure::failure;
use crate::program::ITSELF;

/// This program, with a name: the one that it was started by is gone with the initramfs.
const PROGRAM: &str = "run/banger/agent";
const NAME: &str = "banger-agent.service";
/// Last, so that no unit of the image waits for it.
const WANTED_BY: &str = "multi-user.target";

const UNIT: &str =
    "# Made by banger: see https://www.freedesktop.org/software/systemd/man/systemd.service.html
[Unit]
Description=Guard of banger's agent
DefaultDependencies=no
IgnoreOnIsolate=yes
StartLimitIntervalSec=0

[Service]
ExecStart=@/run/banger/agent @banger-agent guard
Restart=always
RestartSec=1
OOMScoreAdjust=-1000
OOMPolicy=continue
";

/// Gives systemd the unit, before it starts.
///
/// # Errors
/// Names what cannot be made.
pub fn install(root: &Path) -> Result<(), Failure> {
    let failed =
        |check: &'static str| move |error: io::Error| failure("unit of the agent", check, error);
    copy(&root.join(PROGRAM)).map_err(failed("copy the program"))?;
    Units::of(root)
        .and_then(|units| units.add(NAME, UNIT, WANTED_BY))
        .map_err(failed("write the unit"))
}

/// Tells whether systemd has the unit in this guest.
pub fn is_installed() -> bool {
    Path::new("/run/systemd/system").join(NAME).exists()
}

fn copy(to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o755);
    std::io::copy(&mut std::fs::File::open(ITSELF)?, &mut options.open(to)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn systemd_finds_the_unit_the_wish_for_it_and_a_program_to_run() {
        let root = tempfile::tempdir().unwrap();
        // A guest is configured more than once.
        install(root.path()).unwrap();
        install(root.path()).unwrap();
        let at = |path: &str| root.path().join(path);
        let wanted = at("run/systemd/system/multi-user.target.wants/banger-agent.service");
        let unit = std::fs::read_to_string(wanted).unwrap();
        let start = unit.lines().find(|line| line.starts_with("ExecStart="));
        let program = start
            .and_then(|line| line.split(['@', ' ']).nth(1))
            .unwrap();
        let mode = std::fs::metadata(at(program.trim_start_matches('/'))).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o755);
    }
}
