//! The packages that users install: made the same each time, installed in a guest, and the daemon as a unit of its systemd.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_smoke::{BOOT, Sandbox, step};

/// Time to pack a debug build twice on a busy host.
const PACKED: Duration = Duration::from_secs(180);
/// Time for dpkg, or for a daemon that begins, in an emulated guest.
const INSTALLED: Duration = Duration::from_secs(120);

/// The script of this checkout.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/dist.sh")
}

/// Makes the packages in a folder, and gives the Debian package.
fn packed(sandbox: &Sandbox, folder: &str) -> PathBuf {
    let to = sandbox.folder().join(folder);
    sandbox
        .program("bash", &[&script().display().to_string()])
        .env("BANGER_BIN", sandbox.binary())
        .env("DIST_DIR", &to)
        .env("PACK", "none")
        .deadline(PACKED)
        .ok();
    let files = std::fs::read_dir(&to).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    let is_deb = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "deb");
    files.find(is_deb).unwrap()
}

#[test]
fn a_package_installs_what_a_user_needs_and_its_unit_runs() {
    let sandbox = Sandbox::new();
    let deb = packed(&sandbox, "one");
    let listed = sandbox
        .program("dpkg-deb", &["-c", &deb.display().to_string()])
        .ok();
    for file in [
        "man/man1/banger-run.1.gz",
        "doc/banger/copyright",
        "doc/banger/changelog.gz",
    ] {
        assert!(
            listed.out().contains(&format!("./usr/share/{file}")),
            "{file}"
        );
    }
    step("the same program gives the same packages", || {
        let again = packed(&sandbox, "two");
        let sums = |deb: &Path| std::fs::read_to_string(deb.with_file_name("SHA256SUMS")).unwrap();
        assert_eq!(sums(&deb), sums(&again));
        assert_eq!(sums(&deb).lines().count(), 2);
    });

    let create = [
        "vm",
        "create",
        "--name",
        "pack",
        "--image",
        "debian-bookworm",
    ];
    let small = ["--net", "none", "--memory", "1G"];
    sandbox
        .banger(&[&create[..], &small].concat())
        .deadline(BOOT)
        .ok();
    let guest = |script: &str| {
        let words = ["exec", "pack", "--", "sh", "-ec", script];
        sandbox.banger(&words).deadline(INSTALLED).ok().out()
    };
    sandbox
        .banger(&["cp", &deb.display().to_string(), "pack:/root/banger.deb"])
        .deadline(INSTALLED)
        .ok();

    step("dpkg installs it, with completions and the unit", || {
        // The guest has no QEMU, which it depends on.
        guest("dpkg -i --force-depends /root/banger.deb && banger version");
        // Its image leaves manuals out of what dpkg unpacks.
        guest(
            "test -s /usr/share/bash-completion/completions/banger && test -s /usr/lib/systemd/user/banger.service",
        );
    });

    step("the daemon is a unit of systemd", || {
        let shown = guest("banger system install --print");
        assert!(
            shown.contains("ExecStart=\"/usr/bin/banger\" daemon run"),
            "{shown}"
        );
        guest("systemd-analyze verify --man=no /usr/lib/systemd/user/banger.service");
        let path = guest("banger system install");
        assert_eq!(path.trim(), "/etc/systemd/system/banger.service");
        guest("systemctl is-active banger && systemctl is-enabled banger");
        let metrics = guest("banger metrics");
        assert!(
            metrics.contains("banger_vms{state=\"running\"} 0"),
            "{metrics}"
        );
        // Its daemon is the unit's, and installing it again changes nothing.
        guest(
            "banger system install && banger daemon status --json | grep -q \"\\\"pid\\\": *$(systemctl show -P MainPID banger)\"",
        );
    });

    step("and goes again, with the package", || {
        guest(
            "banger system uninstall && ! systemctl is-active banger && ! test -e /etc/systemd/system/banger.service",
        );
        guest("banger system uninstall && dpkg -r banger && ! test -e /usr/bin/banger");
    });
    sandbox
        .banger(&["rm", "--force", "pack"])
        .deadline(BOOT)
        .ok();
}
