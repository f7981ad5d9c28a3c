//! A link that loses, doubles and reorders, and one that carries very many connections: with the kernel's own TCP as the guest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // a test may stop at the first surprise

mod world;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use banger_egress::Egress;
use rustix::net::sockopt;
use world::tap::{self, Weather};
use world::{World, echo, in_namespace, policy};

/// Connections of the soak; a million of them take some minutes.
const FLOWS: &str = "BANGER_TEST_FLOWS";
/// Parts of the soak.
const PARTS: usize = 3;
/// Threads of the soak's guest.
const THREADS: usize = 8;
/// A stream's bytes.
const BYTES: usize = 512 << 10;

/// The byte at a place of every stream: no two pieces of some length look the same.
fn byte(at: usize) -> u8 {
    let at = at as u64;
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn stream() -> Vec<u8> {
    (0..BYTES).map(byte).collect()
}

/// A server that sends back what it gets, and ends when the other side does.
fn mirror(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
}

#[test]
fn no_byte_is_lost_doubled_or_out_of_place_in_bad_weather() {
    const TEST: &str = "no_byte_is_lost_doubled_or_out_of_place_in_bad_weather";
    if let Some(folder) = std::env::var_os(tap::FOLDER) {
        return in_bad_weather(Path::new(&folder));
    }
    if !tap::is_given() {
        println!("no tap: not tried");
        return;
    }
    in_namespace(TEST, || {
        mirror(7);
        let mut world = World::new(policy(1, Egress::Public, &[]));
        world.kill();
        std::fs::remove_file(&world.config.link.peer).unwrap();
        world.replace();
        tap::as_guest(TEST, world.dir.path());
    });
}

fn in_bad_weather(folder: &Path) {
    // Frames of 1,500 bytes are many, so each kind of mishap happens often.
    tap::linked(folder, 1500, Weather::new(20_261_127, 15, 10, 15));
    let sent = stream();
    for round in 0..2 {
        let began = Instant::now();
        let mut to = TcpStream::connect("1.2.3.4:7").unwrap();
        to.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut from = to.try_clone().unwrap();
        let bytes = sent.clone();
        let writer = std::thread::spawn(move || {
            to.write_all(&bytes).unwrap();
            to.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::with_capacity(BYTES);
        from.read_to_end(&mut received).unwrap();
        writer.join().unwrap();
        let wrong = received
            .iter()
            .zip(&sent)
            .position(|(one, other)| one != other);
        assert_eq!(wrong, None, "round {round}: the first byte that is another");
        assert_eq!(received.len(), sent.len(), "round {round}");
        println!(
            "round {round}: {BYTES} bytes there and back in {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn very_many_short_connections_leave_nothing_behind() {
    const TEST: &str = "very_many_short_connections_leave_nothing_behind";
    let flows = std::env::var(FLOWS).map_or(6_000, |text| text.parse::<usize>().unwrap());
    if let Some(folder) = std::env::var_os(tap::FOLDER) {
        let folder = Path::new(&folder);
        tap::linked(folder, 65_520, Weather::default());
        for part in 0..PARTS {
            wait_for(&folder.join(format!("begin-{part}")));
            many(flows);
            std::fs::write(folder.join(format!("end-{part}")), "").unwrap();
        }
        return;
    }
    if !tap::is_given() {
        println!("no tap: not tried");
        return;
    }
    in_namespace(TEST, || {
        echo(7);
        let mut world = World::new(policy(1, Egress::Public, &[]));
        // A process that has never seen this world's own guest.
        world.kill();
        std::fs::remove_file(&world.config.link.peer).unwrap();
        world.replace();
        let mut resident = Vec::new();
        // The first part shows what the process needs, the others that it needs no more.
        let folder = world.dir.path().to_owned();
        let guest = std::thread::spawn(move || tap::as_guest(TEST, &folder));
        for part in 0..PARTS {
            let file = |word: &str| world.dir.path().join(format!("{word}-{part}"));
            std::fs::write(file("begin"), "").unwrap();
            while !file("end").exists() {
                assert!(!guest.is_finished(), "the guest has ended in part {part}");
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_secs(4));
            let status = world.client().status().unwrap();
            assert_eq!(
                (status.tcp, status.half_open, status.buffer_bytes),
                (0, 0, 0),
                "part {part}"
            );
            resident.push(world.resident());
        }
        println!("resident after each part: {resident:?}");
        let (first, last) = (resident[0], resident[PARTS - 1]);
        assert!(last <= first + first / 10 + (1 << 20), "{resident:?}");
        let before = world.cpu();
        std::thread::sleep(Duration::from_secs(2));
        assert!(
            world.cpu() - before <= Duration::from_millis(10),
            "an idle process works"
        );
        guest.join().unwrap();
        let opened = world.client().status().unwrap().counters.opened;
        assert!(opened >= (PARTS * flows) as u64 / 2, "{opened}");
    });
}

fn wait_for(file: &Path) {
    let end = Instant::now() + Duration::from_secs(120);
    while !file.exists() {
        assert!(Instant::now() < end, "{} does not come", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Short connections: ended by both sides, by a reset, half-closed, or left in the middle.
fn many(flows: usize) {
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            std::thread::spawn(move || {
                for n in 0..flows / THREADS {
                    let mut stream = TcpStream::connect("1.2.3.4:7").unwrap();
                    let word = [n as u8; 200];
                    let mut back = [0; 200];
                    match n % 8 {
                        // In the middle of its answer.
                        0 => stream.write_all(&word).unwrap(),
                        1 => {
                            stream.write_all(&word).unwrap();
                            stream.shutdown(Shutdown::Write).unwrap();
                            let mut all = Vec::new();
                            stream.read_to_end(&mut all).unwrap();
                            assert_eq!(all, word, "thread {thread}");
                            continue;
                        }
                        2 => {}
                        _ => {
                            stream.write_all(&word).unwrap();
                            stream.read_exact(&mut back).unwrap();
                            assert_eq!(back, word, "thread {thread}");
                        }
                    }
                    // A reset; the port is free again at once.
                    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}
