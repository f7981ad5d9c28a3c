//! The Debian image with systemd and sshd.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};

use crate::guests::{BOOT, boot_id, comes_back, reaches_running};
use crate::published::free_port;

const NAME: &str = "deb";
const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_debian_image_runs_systemd_and_sshd_with_what_every_guest_gets() {
    let sandbox = Sandbox::new();
    let identity = "[user]\n\tname = Ann Host\n\temail = ann@example.org\n";
    if let Err(error) = std::fs::write(sandbox.home().join(".gitconfig"), identity) {
        panic!("cannot write .gitconfig: {error}");
    }
    let port = free_port();
    let publish = format!("{port}:22");
    let words = [
        "vm",
        "create",
        "--name",
        NAME,
        "--image",
        "debian-bookworm",
        "--vcpu",
        "1",
        "--memory",
        "1G",
    ];
    let network = ["--net", "user", "--allow", "none", "--publish", &publish];
    sandbox
        .banger(&[&words[..], &network].concat())
        .deadline(BOOT)
        .ok();

    step("systemd reaches running", || {
        reaches_running(&sandbox, NAME)
    });

    step("sshd answers on the published port, on loopback", || {
        let banner = eventually("sshd answers", SOON, || banner_of(port));
        assert!(banner.starts_with("SSH-2.0-OpenSSH"), "{banner}");
    });

    step("what every guest gets", || what_every_guest_gets(&sandbox));
    step("ports", || {
        let ports = sandbox.banger(&["vm", "ports", NAME, "--json"]).ok();
        assert!(ports.out().contains("22"), "{ports}");
    });
    step("nothing is reached that is not allowed", || {
        nothing_is_reached(&sandbox)
    });
    step("a guest that reboots comes back", || {
        let before = boot_id(&sandbox, NAME);
        sandbox.in_guest(NAME, "echo kept > /root/kept; echo kept > /etc/kept");
        sandbox.banger(&["exec", NAME, "--", "reboot"]).run();
        comes_back(&sandbox, NAME, &before);
        assert_eq!(
            sandbox.in_guest(NAME, "cat /root/kept /etc/kept"),
            "kept\nkept"
        );
        let banner = eventually("sshd answers again", SOON, || banner_of(port));
        assert!(banner.starts_with("SSH-2.0-OpenSSH"), "{banner}");
    });
    step("a stop is clean", || {
        sandbox
            .banger(&["vm", "stop", NAME, "--timeout", "60"])
            .deadline(BOOT)
            .ok();
        assert_eq!(sandbox.state(NAME), "stopped");
        assert!(
            banner_of(port).is_none(),
            "the published port should be closed"
        );
    });
}

fn banner_of(port: u16) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    (!line.is_empty()).then_some(line)
}

fn what_every_guest_gets(sandbox: &Sandbox) {
    let cat = |path: &str| sandbox.in_guest(NAME, &format!("cat {path}"));
    assert_eq!(cat("/etc/hostname"), NAME);
    assert_eq!(sandbox.in_guest(NAME, "hostname"), NAME);
    let hosts = cat("/etc/hosts");
    assert!(
        hosts.contains("127.0.0.1") && hosts.contains("localhost"),
        "{hosts}"
    );
    assert!(
        hosts
            .lines()
            .any(|line| line.split_whitespace().eq(["127.0.1.1", NAME])),
        "{hosts}"
    );
    // Without outbound network, a name server would only cause waits.
    let resolver = cat("/etc/resolv.conf");
    assert!(!resolver.contains("nameserver"), "{resolver}");
    let sshd = cat("/etc/ssh/sshd_config.d/99-banger.conf");
    for line in [
        "PermitRootLogin prohibit-password",
        "PubkeyAuthentication yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "AuthorizedKeysFile /root/.ssh/authorized_keys",
    ] {
        assert!(sshd.lines().any(|has| has == line), "{line:?} in {sshd}");
    }
    let fstab = cat("/etc/fstab");
    assert!(
        fstab.contains("defaults,nodev,nosuid,mode=0755") && !fstab.contains("/tmp"),
        "{fstab}"
    );
    let modes = sandbox.in_guest(
        NAME,
        "stat -c '%U:%G %a' /root /root/.ssh; wc -l < /root/.ssh/authorized_keys",
    );
    // The image's own, without write permission for others.
    assert_eq!(modes, "root:root 700\nroot:root 700\n1");
    assert!(!cat("/etc/machine-id").is_empty());
    assert_eq!(
        sandbox.in_guest(NAME, "sshd -t && ls /etc/ssh/ssh_host_ed25519_key"),
        "/etc/ssh/ssh_host_ed25519_key"
    );
    assert_eq!(
        sandbox.in_guest(NAME, "test -e /root/.hushlogin && findmnt -no FSTYPE /root"),
        "ext4"
    );
    // Docker's own overlays cannot lie on an overlay: its storage is on a disk before any program of the image runs.
    assert_eq!(
        sandbox.in_guest(NAME, "findmnt -no FSTYPE /var/lib/docker"),
        "ext4"
    );
    assert_eq!(
        sandbox.in_guest(NAME, "git config --global user.name"),
        "Ann Host"
    );
}

/// QEMU's user network shows the host's loopback to the guest as 10.0.2.2, unless the network is restricted.
fn nothing_is_reached(sandbox: &Sandbox) {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(listener) => listener,
        Err(error) => panic!("cannot listen on loopback: {error}"),
    };
    let port = listener
        .local_addr()
        .map(|address| address.port())
        .unwrap_or_default();
    let script = format!("timeout 5 bash -c 'exec 3<>/dev/tcp/10.0.2.2/{port}'");
    let tried = sandbox
        .banger(&["exec", NAME, "--", "sh", "-c", &script])
        .run();
    assert_ne!(
        tried.code,
        Some(0),
        "a guest with --allow none reached the host: {tried}"
    );
}
