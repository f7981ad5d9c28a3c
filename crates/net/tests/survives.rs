//! The process is killed and replaced, and what many connections took comes back.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may stop at the first surprise

mod world;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use banger_egress::Egress;
use smoltcp::socket::tcp::State;
use world::{Opened, World, at, echo, in_namespace, policy, published, sink, source};

#[test]
fn a_process_that_is_killed_in_the_middle_of_bulk_is_replaced_and_the_guest_goes_on() {
    in_namespace(
        "a_process_that_is_killed_in_the_middle_of_bulk_is_replaced_and_the_guest_goes_on",
        || {
            source(19, usize::MAX);
            sink(9);
            echo(7);
            let mut world = World::new(policy(1, Egress::Public, &[]));
            for round in 0..5 {
                let to_guest = world.guest.opened(at("1.2.3.4", 19));
                let from_guest = world.guest.opened(at("1.2.3.4", 9));
                let mut moved = 0;
                world
                    .guest
                    .until(|guest| {
                        let socket = guest.socket(to_guest);
                        moved += socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
                        let _ = guest.socket(from_guest).send_slice(&[1; 4096]);
                        (moved > 200_000).then_some(())
                    })
                    .unwrap();
                world.kill();
                world.replace();
                // Both find out when they next send.
                for conn in [to_guest, from_guest] {
                    world
                        .guest
                        .until(|guest| {
                            let socket = guest.socket(conn);
                            let _ = socket.recv(|bytes| (bytes.len(), ()));
                            let _ = socket.send_slice(b"x");
                            (socket.state() == State::Closed).then_some(())
                        })
                        .unwrap_or_else(|| panic!("round {round}: a connection hangs"));
                }
                let conn = world.guest.opened(at("1.2.3.4", 7));
                assert_eq!(
                    world.guest.exchange(conn, b"again"),
                    b"again",
                    "round {round}"
                );
            }
        },
    );
}

#[test]
fn a_published_port_of_a_replaced_process_works_before_the_guest_has_sent_a_frame() {
    in_namespace(
        "a_published_port_of_a_replaced_process_works_before_the_guest_has_sent_a_frame",
        || {
            let quiet = policy(1, Egress::None, &[]);
            let mut world = World::with(quiet, |config| config.publish = vec![published(8080, 80)]);
            for round in 0..2 {
                let conn = world.guest.listen(80);
                let client = std::thread::spawn(|| {
                    let mut client = std::net::TcpStream::connect("127.0.0.1:8080").unwrap();
                    client.set_read_timeout(Some(world::WITHIN)).unwrap();
                    client.write_all(b"first word").unwrap();
                    let mut answer = [0; 6];
                    client.read_exact(&mut answer).unwrap();
                    answer
                });
                let got = world.guest.receive(conn, 10);
                assert_eq!(got, b"first word", "round {round}: the host speaks first");
                world.guest.send(conn, b"answer");
                world
                    .guest
                    .until(|_| client.is_finished().then_some(()))
                    .unwrap();
                assert_eq!(&client.join().unwrap(), b"answer");
                world.guest.socket(conn).abort();
                // What is on its way to the process that ends tells nothing to the next one.
                world.guest.step();
                world.kill();
                world.replace();
            }
        },
    );
}

#[test]
fn a_process_ends_with_its_vmm() {
    in_namespace("a_process_ends_with_its_vmm", || {
        let mut world = World::new(policy(1, Egress::Public, &[]));
        let mut vmm = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let pid = rustix::process::Pid::from_child(&vmm);
        let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        world.client().watch(std::os::fd::AsFd::as_fd(&fd)).unwrap();
        assert!(world.client().status().unwrap().watches_vmm);
        vmm.kill().unwrap();
        vmm.wait().unwrap();
        let end = Instant::now() + world::WITHIN;
        while world.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn five_hundred_connections_at_once_are_served_and_their_memory_comes_back() {
    in_namespace(
        "five_hundred_connections_at_once_are_served_and_their_memory_comes_back",
        || {
            echo(7);
            let mut world = World::new(policy(1, Egress::Public, &[]));
            let conn = world.guest.opened(at("1.2.3.4", 7));
            world.guest.exchange(conn, b"x");
            let idle = world.resident();
            let began = Instant::now();
            let conns: Vec<_> = (0..500)
                .map(|_| world.guest.begin(at("1.2.3.4", 7)))
                .collect();
            let bytes = vec![3; 30_000];
            for conn in &conns {
                world
                    .guest
                    .until(|guest| (guest.state(*conn) == State::Established).then_some(()))
                    .unwrap();
                world.guest.send(*conn, &bytes);
            }
            for conn in &conns {
                assert_eq!(world.guest.receive(*conn, bytes.len()).len(), bytes.len());
            }
            let status = world.client().status().unwrap();
            assert_eq!(status.tcp, 500, "{status:?}");
            println!(
                "500 opened and echoed in {:?}; resident {} KiB, idle {} KiB",
                began.elapsed(),
                world.resident() / 1024,
                idle / 1024
            );
            assert!(status.buffer_bytes <= 256 << 20);
            for conn in &conns {
                world.guest.socket(*conn).close();
            }
            let end = Instant::now() + world::WITHIN;
            while world.client().status().unwrap().tcp > 0 || world.resident() > idle + (4 << 20) {
                assert!(
                    Instant::now() < end,
                    "{} KiB stay, idle {} KiB",
                    world.resident() / 1024,
                    idle / 1024
                );
                world.guest.step();
                std::thread::sleep(Duration::from_millis(5));
            }
            println!("afterwards {} KiB", world.resident() / 1024);
            assert_eq!(world.client().status().unwrap().buffer_bytes, 0);
            // At rest it does nothing.
            let before = world.cpu();
            std::thread::sleep(Duration::from_secs(1));
            assert!(world.cpu() - before <= Duration::from_millis(10));
        },
    );
}

#[test]
fn a_slow_reader_costs_others_nothing() {
    in_namespace("a_slow_reader_costs_others_nothing", || {
        source(19, 64 << 20);
        echo(7);
        let mut world = World::new(policy(1, Egress::Public, &[]));
        // It never reads.
        let slow = world.guest.opened(at("1.2.3.4", 19));
        for _ in 0..20 {
            let conn = world.guest.opened(at("1.2.3.4", 7));
            assert_eq!(world.guest.exchange(conn, &[5; 10_000]).len(), 10_000);
        }
        assert!(world.guest.socket(slow).recv_queue() > 0);
        assert!(!matches!(
            world.guest.open(at("1.2.3.4", 8)),
            Opened::Silence
        ));
    });
}
