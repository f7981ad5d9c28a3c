//! Shaped like Alpine with OpenRC: busybox is `/sbin/init` and every tool, folders are not merged, and the C library that
//! programs are linked with is musl. (Debian's OpenRC needs Debian's C library, which is there beside it.)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::layer::Layer;
use super::{layout, openrc};

/// Copy of the one in Alpine's `alpine-baselayout`.
const INITTAB: &str = "::sysinit:/sbin/openrc sysinit
::sysinit:/sbin/openrc boot
::wait:/sbin/openrc default
tty1::respawn:/sbin/getty 38400 tty1
::ctrlaltdel:/sbin/reboot
::shutdown:/sbin/openrc shutdown
";
const OS_RELEASE: &str = "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME=\"shaped like Alpine, of Debian's packages\"\n";
/// Service of Alpine's openrc; Debian leaves this to System V scripts.
const HOSTNAME: &str = "#!/sbin/openrc-run\ndescription=\"Sets the hostname\"\nstart() { hostname -F /etc/hostname; }\n";
/// Alpine's `mount-ro` without its list of exceptions.
const MOUNT_RO: &str =
    "#!/sbin/openrc-run\nstart() { sync; umount -r /root; mount -o remount,ro /; }\n";
/// A program that names its C library.
const PROGRAM: &str =
    "#include <stdio.h>\nint main(void) { puts(\"musl says hello\"); return 0; }\n";

pub fn make(packages: &Path, to: &Path) -> io::Result<()> {
    let scratch = packages.with_file_name("alpine.layer");
    let mut layer = Layer::create(scratch)?;
    for folder in ["root", "home", "proc", "sys", "dev", "run", "var/log"] {
        layer.folder(folder, if folder == "root" { 0o700 } else { 0o755 })?;
    }
    layer.file("etc/inittab", 0o644, INITTAB.as_bytes())?;
    layer.file("etc/os-release", 0o644, OS_RELEASE.as_bytes())?;
    layer.file("etc/alpine-release", 0o644, b"3.20.0\n")?;
    layer.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/ash\n")?;
    layer.file("etc/group", 0o644, b"root:x:0:\ntty:x:5:\nuucp:x:14:\n")?;
    layer.file("etc/init.d/hostname", 0o755, HOSTNAME.as_bytes())?;
    layer.file("etc/init.d/mount-ro", 0o755, MOUNT_RO.as_bytes())?;
    openrc::services(
        &mut layer,
        &[
            ("boot", "hostname"),
            ("default", "greeter"),
            ("shutdown", "mount-ro"),
        ],
    )?;
    for (name, how) in [("hello-static", &["-static"][..]), ("hello-dynamic", &[])] {
        let program = musl_program(packages, name, how)?;
        layer.file(&format!("usr/bin/{name}"), 0o755, &program)?;
    }
    layer.take(packages, |path, _| {
        let theirs = [
            "bin/busybox",
            "bin/rc-status",
            "etc/init.d/savecache",
            "etc/insserv.conf",
            "etc/ld-musl-x86_64.path",
            "etc/rc.conf",
            "sbin/supervise-daemon",
        ];
        let folders = ["etc/runlevels", "lib", "lib64", "usr/lib/x86_64-linux-gnu"];
        let taken = theirs.iter().any(|name| path == Path::new(name))
            || folders.iter().any(|folder| path.starts_with(folder))
            || path.to_string_lossy().starts_with("sbin/openrc")
            || path.to_string_lossy().starts_with("sbin/rc-");
        (taken && !path.starts_with("lib/systemd")).then(|| path.to_owned())
    })?;
    for applet in applets()? {
        layer.link(&applet, "/bin/busybox")?;
    }
    layout::write(to, &[layer.finish()?])
}

/// Paths at which busybox wants links to itself. The host's busybox is the same package.
fn applets() -> io::Result<Vec<String>> {
    let listed = Command::new("busybox").arg("--list-full").output()?;
    let names = String::from_utf8_lossy(&listed.stdout);
    Ok(names.lines().map(str::to_owned).collect())
}

fn musl_program(packages: &Path, name: &str, how: &[&str]) -> io::Result<Vec<u8>> {
    let (source, program): (PathBuf, PathBuf) = (
        packages.with_file_name("hello.c"),
        packages.with_file_name(name),
    );
    fs::write(&source, PROGRAM)?;
    let compiled = Command::new("musl-gcc")
        .args(["-Os", "-s"])
        .args(how)
        .arg("-o")
        .args([&program, &source])
        .status();
    match compiled {
        Ok(status) if status.success() => fs::read(program),
        other => panic!("musl-gcc: {other:?}; scripts/host-packages.sh tests installs it"),
    }
}
