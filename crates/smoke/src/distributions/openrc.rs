//! Debian with OpenRC and System V's init, in a layer over `debian-minimal`, as after `apt install openrc sysvinit-core`.

use std::io;
use std::path::{Path, PathBuf};

use super::layer::{Layer, names};
use super::layout;

/// A service that runs for as long as the guest does, and records in a file that it was told to end.
const GREETER: &str = "#!/sbin/openrc-run
description=\"A service of the test\"
command=/bin/sh
command_args=/usr/local/bin/greeter
command_background=true
pidfile=/run/greeter.pid
";
const GREETER_PROGRAM: &str = "#!/bin/sh
trap 'echo told >> /root/greeter; exit 0' TERM
echo started >> /root/greeter
while true; do sleep 1 & wait $!; done
";

/// Services that Debian's packages enable in their `postinst`, as far as a virtual machine needs them.
const ENABLED: [(&str, &str); 6] = [
    ("sysinit", "mountkernfs.sh"),
    ("sysinit", "hostname.sh"),
    ("default", "greeter"),
    ("off", "sendsigs"),
    ("off", "umountfs"),
    ("off", "umountroot"),
];

/// Scripts that the enabled ones need, and System V's init.
const SCRIPTS: [&str; 9] = [
    "rc",
    "rcS",
    "halt",
    "mountkernfs.sh",
    "hostname.sh",
    "umountnfs.sh",
    "sendsigs",
    "umountfs",
    "umountroot",
];

pub fn make(base: &Path, packages: &Path, to: &Path) -> io::Result<()> {
    let below = names(base)?;
    let mut layer = Layer::create(packages.with_file_name("openrc.layer"))?;
    layer.take(packages, |path, header| {
        let merged = match path.components().next()?.as_os_str().to_str()? {
            "bin" | "sbin" | "lib" | "lib64" => Path::new("usr").join(path),
            "etc" | "usr" => path.to_owned(),
            _ => return None,
        };
        let documents =
            merged.starts_with("usr/share") && !merged.starts_with("usr/share/sysvinit");
        // OpenRC reads every script that exists, which takes an emulated machine long.
        if path.starts_with("etc/init.d") && !SCRIPTS.iter().any(|kept| path.ends_with(kept)) {
            return None;
        }
        // A folder of the layers below keeps its mode.
        let known = below.contains(&merged)
            || header.entry_type().is_dir() && merged.parent()? == Path::new("");
        (!documents && !known).then_some(merged)
    })?;
    services(&mut layer, &ENABLED)?;
    let inittab = inittab(packages)?;
    layer.file("etc/inittab", 0o644, inittab.as_bytes())?;
    let layer = layer.finish()?;
    let copy: PathBuf = packages.with_file_name("minimal.layer");
    std::fs::copy(base, &copy)?;
    layout::write(to, &[copy, layer])
}

/// The service of the test, and links from runlevels to services.
pub fn services(layer: &mut Layer, enabled: &[(&str, &str)]) -> io::Result<()> {
    layer.file("etc/init.d/greeter", 0o755, GREETER.as_bytes())?;
    layer.file("usr/local/bin/greeter", 0o755, GREETER_PROGRAM.as_bytes())?;
    for (runlevel, service) in enabled {
        let link = format!("etc/runlevels/{runlevel}/{service}");
        layer.link(&link, &format!("/etc/init.d/{service}"))?;
    }
    Ok(())
}

/// The package's own inittab, which its `postinst` copies; without terminals.
fn inittab(packages: &Path) -> io::Result<String> {
    let mut archive = tar::Archive::new(std::fs::File::open(packages)?);
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if entry.path()?.ends_with("usr/share/sysvinit/inittab") {
            let text = io::read_to_string(&mut entry)?;
            let kept = text.lines().filter(|line| !line.contains("/sbin/getty"));
            return Ok(kept.map(|line| format!("{line}\n")).collect());
        }
    }
    Err(io::Error::other("sysvinit-core has no inittab"))
}
