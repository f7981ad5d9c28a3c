//! The kernel's own network as the guest: its TCP, ARP, neighbours and routes, over a tap in a namespace of its own.
//!
//! ```text
//! guest's namespace: sockets ─ kernel ─ tap ─ pump (this test) ─ datagrams ─► the process ─► servers: outer namespace
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // a test may stop at the first surprise

mod world;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use banger_egress::Egress;
use world::tap::{self, Weather};
use world::{World, echo, in_namespace, policy, sink, source, udp_echo};

/// MiB that are moved each way.
const MIB: &str = "BANGER_TEST_MIB";

#[test]
fn the_kernels_own_tcp_is_served() {
    if let Some(folder) = std::env::var_os(tap::FOLDER) {
        return guest(Path::new(&folder));
    }
    if !tap::is_given() {
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
        tap::as_guest("the_kernels_own_tcp_is_served", world.dir.path());
        let status = world.client().status().unwrap();
        println!("CPU of the process {:?}; {status:?}", world.cpu() - before);
        assert_eq!(status.counters.limited, 0);
    });
}

fn mib() -> usize {
    std::env::var(MIB).map_or(64, |text| text.parse().unwrap())
}

fn guest(folder: &Path) {
    tap::linked(folder, 65_520, Weather::default());
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
