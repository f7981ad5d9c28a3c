//! Shaped like Fedora: one `/usr/bin` for all programs, `sshd.service`, `/root` closed to others, SELinux's labels and
//! configuration, a resolver's dangling link as `/etc/resolv.conf`, no manager of networks, and nothing of Debian's.

use std::io;
use std::path::{Path, PathBuf};

use super::layer::Layer;
use super::layout;

const OS_RELEASE: &str = "NAME=\"Fedora Linux\"
ID=fedora
VERSION_ID=42
PRETTY_NAME=\"shaped like Fedora, of Debian's packages\"
";
/// First part of Fedora's configuration.
const SSHD: &str = "Include /etc/ssh/sshd_config.d/*.conf\nAuthorizedKeysFile .ssh/authorized_keys\nSubsystem sftp /usr/lib/openssh/sftp-server\n";
const SSHD_REDHAT: &str =
    "SyslogFacility AUTHPRIV\nChallengeResponseAuthentication no\nUsePAM yes\nX11Forwarding yes\n";
const SSHD_UNIT: &str = "[Unit]
Description=OpenSSH server daemon
After=network.target

[Service]
Type=exec
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D

[Install]
WantedBy=multi-user.target
";
const SELINUX: &str = "SELINUX=enforcing\nSELINUXTYPE=targeted\n";
/// Paths that Fedora does not have, or that would only make the image large.
const LEFT_OUT: [&str; 24] = [
    "etc/apt",
    "etc/debian_version",
    "etc/dpkg",
    "etc/hostname",
    "etc/machine-id",
    "etc/network",
    "etc/os-release",
    "etc/resolv.conf",
    "etc/ssh",
    "etc/systemd/network",
    "usr/include",
    "usr/lib/apt",
    "usr/lib/dpkg",
    "usr/lib/file",
    "usr/lib/gcc",
    "usr/lib/git-core",
    "usr/lib/os-release",
    "usr/lib/python3",
    "usr/lib/python3.11",
    "usr/lib/udev/hwdb.d",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/share/perl",
    "var/lib/dpkg",
];
/// Parts of names that are left out: the toolchain, Debian's package manager, services with other names in Fedora.
const LEFT_OUT_WORDS: [&str; 9] = [
    "/x86_64-linux-gnu-",
    "/apt",
    "/dpkg",
    "networkd",
    "resolved",
    "/ssh.service",
    "/sshd.service",
    "san.so",
    "hwdb.bin",
];

pub fn make(base: &Path, to: &Path) -> io::Result<()> {
    let mut tree = Layer::create(base.with_file_name("fedora.layer"))?;
    // /root is closed to others, and its entry comes before the one of the base.
    tree.folder("root", 0o550)?;
    for (link, target) in [("usr/sbin", "bin"), ("bin", "usr/bin"), ("sbin", "usr/bin")] {
        tree.link(link, target)?;
    }
    tree.link("etc/os-release", "../usr/lib/os-release")?;
    tree.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")?;
    tree.file("usr/lib/os-release", 0o644, OS_RELEASE.as_bytes())?;
    tree.file("etc/machine-id", 0o444, b"uninitialized\n")?;
    tree.file("etc/ssh/sshd_config", 0o600, SSHD.as_bytes())?;
    tree.file(
        "etc/ssh/sshd_config.d/50-redhat.conf",
        0o600,
        SSHD_REDHAT.as_bytes(),
    )?;
    tree.file(
        "usr/lib/systemd/system/sshd.service",
        0o644,
        SSHD_UNIT.as_bytes(),
    )?;
    tree.link(
        "etc/systemd/system/multi-user.target.wants/sshd.service",
        "/usr/lib/systemd/system/sshd.service",
    )?;
    // The second layer removes this again.
    tree.file("etc/machine-info", 0o644, b"CHASSIS=container\n")?;
    tree.take(base, |path, header| {
        let is_left_out = LEFT_OUT.iter().any(|left| path.starts_with(left));
        let text = path.to_string_lossy();
        if is_left_out || LEFT_OUT_WORDS.iter().any(|word| text.contains(word)) {
            return None;
        }
        match path.strip_prefix("usr/sbin") {
            Ok(name) => Some(Path::new("usr/bin").join(name)),
            // Links between the two folders would lead to themselves.
            Err(_) if leads_to_sbin(path, header) => None,
            Err(_) => Some(path.to_owned()),
        }
    })?;
    let mut labels = Layer::create(base.with_file_name("labels.layer"))?;
    labels.whiteout("etc/machine-info")?;
    labels.labelled(
        "etc/selinux/config",
        SELINUX.as_bytes(),
        "system_u:object_r:selinux_config_t:s0",
    )?;
    labels.labelled(
        "etc/fedora-release",
        b"Fedora release 42 (Adams)\n",
        "system_u:object_r:etc_t:s0",
    )?;
    labels.link("etc/redhat-release", "fedora-release")?;
    let layers: [PathBuf; 2] = [tree.finish()?, labels.finish()?];
    layout::write(to, &layers)
}

fn leads_to_sbin(path: &Path, header: &tar::Header) -> bool {
    let target = header.link_name().ok().flatten();
    path.starts_with("usr/bin")
        && header.entry_type().is_symlink()
        && target.is_some_and(|target| target.components().any(|part| part.as_os_str() == "sbin"))
}
