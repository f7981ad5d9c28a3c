//! The kernel's own network as the guest: its TCP, ARP, neighbours and routes, over a tap in a namespace of its own.
//!
//! ```text
//! guest's namespace: sockets ─ kernel ─ tap ─ pump (this test) ─ datagrams ─► the process ─► servers: outer namespace
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // a test may stop at the first surprise

mod world;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use banger_egress::Egress;
use world::{World, echo, in_namespace, policy, sink, source, udp_echo};

/// Folder of the link, for the part of this test that is the guest.
const FOLDER: &str = "BANGER_TEST_LINK";
/// MiB that are moved each way.
const MIB: &str = "BANGER_TEST_MIB";

#[test]
fn the_kernels_own_tcp_is_served() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return guest(Path::new(&folder));
    }
    if File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .is_err()
    {
        // Not every host lets its users have taps; smoltcp is the guest of the other tests.
        println!("no tap: not tried");
        return;
    }
    in_namespace("the_kernels_own_tcp_is_served", || {
        echo(7);
        sink(9);
        source(19, mib() << 20);
        udp_echo("1.2.3.4", 7);
        let mut world = World::new(policy(1, Egress::Public, &[]));
        // A process that has never seen this world's own guest, whose socket's place the pump takes.
        world.kill();
        std::fs::remove_file(&world.config.link.peer).unwrap();
        world.replace();
        let before = world.cpu();
        let status = Command::new("unshare")
            .arg("--net")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "the_kernels_own_tcp_is_served", "--nocapture"])
            .env(FOLDER, world.dir.path())
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
        let status = world.client().status().unwrap();
        println!("CPU of the process {:?}; {status:?}", world.cpu() - before);
        assert_eq!(status.counters.limited, 0);
    });
}

fn mib() -> usize {
    std::env::var(MIB).map_or(64, |text| text.parse().unwrap())
}

fn guest(folder: &Path) {
    let tap = tap();
    for line in [
        "link set lo up",
        "link set tap0 mtu 65520",
        "link set tap0 up",
        "addr add 10.0.2.15/24 dev tap0",
        "addr add fd62:616e:6765::15/64 dev tap0 nodad",
        "route add default via 10.0.2.2",
    ] {
        let status = Command::new("ip").args(line.split(' ')).status().unwrap();
        assert!(status.success(), "ip {line}");
    }
    pump(&tap, folder);
    let to = |port: u16| TcpStream::connect(("1.2.3.4", port)).unwrap();
    let mut stream = to(7);
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"hello");

    let bytes = mib() << 20;
    let block = vec![1; 1 << 18];
    let began = Instant::now();
    let mut stream = to(9);
    (0..bytes / block.len()).for_each(|_| stream.write_all(&block).unwrap());
    stream.shutdown(Shutdown::Write).unwrap();
    let mut total = [0; 8];
    stream.read_exact(&mut total).unwrap();
    assert_eq!(u64::from_be_bytes(total), bytes as u64);
    let out = began.elapsed();
    let began = Instant::now();
    let mut stream = to(19);
    let mut room = vec![0; 1 << 18];
    let mut received = 0;
    while let Ok(count @ 1..) = stream.read(&mut room) {
        received += count;
    }
    assert_eq!(received, bytes);
    let rate = |took: Duration| mib() as f64 / took.as_secs_f64();
    println!(
        "guest to host {:.0} MiB/s, host to guest {:.0} MiB/s",
        rate(out),
        rate(began.elapsed())
    );

    let began = Instant::now();
    let streams: Vec<TcpStream> = (0..500).map(|_| to(7)).collect();
    println!("500 connects {:?}", began.elapsed());
    for mut stream in &streams {
        stream.write_all(&[5; 1000]).unwrap();
    }
    for mut stream in &streams {
        stream.read_exact(&mut [0; 1000]).unwrap();
    }
    println!("500 opened and echoed {:?}", began.elapsed());
    drop(streams);

    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(world::WITHIN)).unwrap();
    socket.connect("1.2.3.4:7").unwrap();
    socket.send(&[9; 40_000]).unwrap();
    assert_eq!(socket.recv(&mut room).unwrap(), 40_000);

    // Refused, prohibited, and over IPv6, whose route the gateway advertises.
    let failed = |to: &str| TcpStream::connect(to).unwrap_err().kind();
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable};
    assert_eq!(failed("1.2.3.4:1"), ConnectionRefused);
    assert_eq!(failed("1.2.4.4:1"), HostUnreachable);
    assert_eq!(failed("10.1.0.1:80"), ConnectionRefused);
    let end = Instant::now() + world::WITHIN;
    loop {
        let refused = failed("[2600::1]:80");
        let is_routed = refused == HostUnreachable || refused == ConnectionRefused;
        // The outer namespace has no route: the process says so by ICMP, the kernel here without any route by itself.
        if is_routed {
            break;
        }
        assert!(Instant::now() < end, "{refused:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = Command::new("ip")
        .args(["-6", "route", "show", "default"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("via fe80::2"), "{text}");
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
fn pump(tap: &File, folder: &Path) {
    let socket = UnixDatagram::bind(folder.join("net.qemu")).unwrap();
    let own = folder.join("net.sock");
    let (mut from_tap, sender) = (tap.try_clone().unwrap(), socket.try_clone().unwrap());
    std::thread::spawn(move || {
        let mut frame = vec![0; 70_000];
        while let Ok(length) = from_tap.read(&mut frame) {
            let _ = sender.send_to(&frame[..length], &own);
        }
    });
    let mut to_tap = tap.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut frame = vec![0; 70_000];
        while let Ok(length) = socket.recv(&mut frame) {
            let _ = to_tap.write(&frame[..length]);
        }
    });
}
