//! The kernel's own network as a guest: a tap in a namespace of its own, and a pump between it and the link.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

/// Folder of the link, for the part of a test that is the guest.
pub const FOLDER: &str = "BANGER_TEST_LINK";

/// Tells whether this host gives its user taps. Not every one does; smoltcp is the guest of the other tests.
pub fn is_given() -> bool {
    let mut options = File::options();
    let tun = options.read(true).write(true).open("/dev/net/tun");
    tun.is_ok()
}

/// Runs the test of this name once more, as the guest of the link in this folder.
pub fn as_guest(test: &str, folder: &Path) {
    let status = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// Makes a tap with the guest's addresses and routes, and moves its frames through this weather.
pub fn linked(folder: &Path, mtu: u16, weather: Weather) {
    let tap = tap();
    for line in [
        "link set lo up",
        &format!("link set tap0 mtu {mtu}"),
        "link set tap0 up",
        "addr add 10.0.2.15/24 dev tap0",
        "addr add fd62:616e:6765::15/64 dev tap0 nodad",
        "route add default via 10.0.2.2",
    ] {
        let status = Command::new("ip").args(line.split(' ')).status().unwrap();
        assert!(status.success(), "ip {line}");
    }
    pump(&tap, folder, weather);
}

#[allow(unsafe_code)] // one ioctl
fn tap() -> File {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    let mut request = [0_u8; 40];
    request[..4].copy_from_slice(b"tap0");
    let flags = u16::try_from(libc::IFF_TAP | libc::IFF_NO_PI).unwrap();
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the request is an ifreq of 40 bytes, and outlives the call.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    file
}

/// Moves frames, each way on a thread.
fn pump(tap: &File, folder: &Path, weather: Weather) {
    let socket = UnixDatagram::bind(folder.join("net.qemu")).unwrap();
    let own = folder.join("net.sock");
    let (mut from_tap, sender) = (tap.try_clone().unwrap(), socket.try_clone().unwrap());
    let mut into = Weather {
        seed: !weather.seed,
        ..weather.clone()
    };
    let mut out = weather;
    std::thread::spawn(move || {
        let mut frame = vec![0; 70_000];
        while let Ok(length) = from_tap.read(&mut frame) {
            out.carry(&frame[..length], |frame| {
                let _ = sender.send_to(frame, &own);
            });
        }
    });
    let mut to_tap = tap.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut frame = vec![0; 70_000];
        while let Ok(length) = socket.recv(&mut frame) {
            into.carry(&frame[..length], |frame| {
                let _ = to_tap.write(frame);
            });
        }
    });
}

/// A link that loses, doubles and reorders frames of IP, so many of a thousand each.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    pub seed: u64,
    pub lost: u64,
    pub doubled: u64,
    pub late: u64,
    /// Frames that go behind the next one.
    held: Vec<Vec<u8>>,
}

impl Weather {
    pub fn new(seed: u64, lost: u64, doubled: u64, late: u64) -> Self {
        Self {
            seed,
            lost,
            doubled,
            late,
            held: Vec::new(),
        }
    }

    /// The next of a thousand (Knuth's generator; the seed says all of it).
    fn die(&mut self) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % 1000
    }

    fn carry(&mut self, frame: &[u8], mut to: impl FnMut(&[u8])) {
        let is_ip = matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]));
        let fate = self.die();
        let held = std::mem::take(&mut self.held);
        match is_ip {
            true if fate < self.lost => {}
            true if fate < self.lost + self.late => self.held.push(frame.to_vec()),
            true if fate < self.lost + self.late + self.doubled => {
                to(frame);
                to(frame);
            }
            _ => to(frame),
        }
        held.iter().for_each(|frame| to(frame));
    }
}
