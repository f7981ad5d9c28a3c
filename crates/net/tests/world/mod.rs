//! A guest at the other end of the link, and a small internet in a network namespace of the test's own.
//!
//! ```text
//! Guest (smoltcp) ◄─ datagrams ─► the process ◄─ sockets ─► servers of the test
//!                                 └──────── one namespace: no packet leaves it ────────┘
//! ```
//!
//! Every address is local there. Those with a preferred source are none of the host's own: the internet 1.2.3.0/24,
//! private 10.1.0.0/16, and the metadata service.

#![allow(dead_code)] // each test uses its part

mod guest;
pub mod tap;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger_egress::{Egress, Grant, Layer, Policy};
use banger_net_control::{Client, GuestLink, Link, NameServers, NetConfig, Publish};

#[allow(unused_imports)] // each test uses its part
pub use guest::{Conn, Guest, MAC, Opened};

/// Longest wait for anything.
pub const WITHIN: Duration = Duration::from_secs(20);
const INSIDE: &str = "BANGER_TEST_NAMESPACE";

/// Runs `body` in a network namespace: the test's binary is executed anew in one, for this test alone.
pub fn in_namespace(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        network();
        return body();
    }
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its namespace: {status}");
}

fn network() {
    for line in [
        "link set lo up",
        "addr add 10.99.0.1/32 dev lo",
        "addr add 192.0.2.77/32 dev lo",
        "route add local 1.2.3.0/24 dev lo src 10.99.0.1",
        "route add local 10.1.0.0/16 dev lo src 10.99.0.1",
        "route add local 169.254.169.254/32 dev lo src 10.99.0.1",
        "route add unreachable 1.2.4.0/24",
    ] {
        let status = Command::new("ip").args(line.split(' ')).status().unwrap();
        assert!(status.success(), "ip {line}");
    }
}

/// A policy of the user's layer.
pub fn policy(generation: u64, egress: Egress, allow: &[&str]) -> Policy {
    let grant = |rule: &&str| Grant::always(rule.parse().unwrap());
    let layer = Layer {
        allow: allow.iter().map(grant).collect(),
        ..Layer::of(egress)
    };
    Policy::new(generation, layer)
}

/// A process, and the guest of it.
pub struct World {
    pub dir: tempfile::TempDir,
    pub config: NetConfig,
    pub process: Child,
    pub guest: Guest,
}

impl World {
    pub fn new(policy: Policy) -> Self {
        Self::with(policy, |_| {})
    }

    pub fn with(policy: Policy, change: impl FnOnce(&mut NetConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut config = NetConfig {
            version: 1,
            vm_id: uuid::Uuid::nil(),
            vm_name: "web".to_owned(),
            launch_token: "token".to_owned(),
            link: Link {
                own: at("net.sock"),
                peer: at("net.qemu"),
            },
            control: at("net.control"),
            audit: Some(dir.path().to_owned()),
            guest: GuestLink {
                mac: Some(MAC),
                ..GuestLink::default()
            },
            dns: NameServers {
                servers: vec!["127.0.0.1:5353".parse().unwrap()],
                ..NameServers::default()
            },
            proxy: None,
            publish: Vec::new(),
            secrets: Vec::new(),
            policy,
        };
        change(&mut config);
        let guest = Guest::new(&config);
        let mut world = Self {
            process: spawn(&config, dir.path().join("net.json")),
            dir,
            config,
            guest,
        };
        world.ready();
        world
    }

    fn ready(&mut self) {
        let end = Instant::now() + WITHIN;
        while Client::connect(&self.config.control, WITHIN).is_err() {
            assert!(
                self.process.try_wait().unwrap().is_none(),
                "the process has ended"
            );
            assert!(Instant::now() < end, "the process does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.config.control, WITHIN).unwrap()
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts another process in the place of one that is dead.
    pub fn replace(&mut self) {
        self.process = spawn(&self.config, self.dir.path().join("net.json"));
        self.ready();
    }

    /// Resident memory of the process, bytes.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.process.id());
        let text = std::fs::read_to_string(path).unwrap();
        let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// Time that the process has run.
    pub fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.id());
        let text = std::fs::read_to_string(path).unwrap();
        let fields: Vec<u64> = text[text.rfind(')').unwrap() + 2..]
            .split(' ')
            .filter_map(|field| field.parse().ok())
            .collect();
        // utime and stime, the letter of the state not among the numbers.
        Duration::from_millis((fields[10] + fields[11]) * 10)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(config: &NetConfig, path: PathBuf) -> Child {
    std::fs::write(&path, serde_json::to_vec(config).unwrap()).unwrap();
    banger_net::prepare(config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_banger-net"))
        .arg(path)
        .arg("token")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// A published port of this host's.
pub fn published(host: u16, guest: u16) -> Publish {
    Publish::new("127.0.0.1".parse().unwrap(), host, guest)
}

/// A server that sends back what it gets, on every address of its port.
pub fn echo(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
        }
    });
}

/// A server that takes everything and then says how many bytes it was.
pub fn sink(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 17];
                let mut total = 0_u64;
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    total += count as u64;
                }
                let _ = stream.write_all(&total.to_be_bytes());
            });
        }
    });
}

/// A server that sends `bytes` and ends.
pub fn source(port: u16, bytes: usize) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let block = vec![7; 1 << 17];
                let mut left = bytes;
                while left > 0 {
                    match stream.write(&block[..left.min(block.len())]) {
                        Ok(count) => left -= count,
                        Err(_) => return,
                    }
                }
            });
        }
    });
}

/// A datagram server that sends back what it gets. It answers from the address that it has.
pub fn udp_echo(address: &str, port: u16) {
    let socket = UdpSocket::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..count], from);
        }
    });
}

/// A name server at 127.0.0.1:5353 that knows these names; with the names that it was asked, as they come.
pub fn name_server(
    known: &'static [(&'static str, &'static str)],
) -> std::sync::mpsc::Receiver<String> {
    use domain::base::iana::{Class, Rcode, Rtype};
    use domain::base::{Message, MessageBuilder, Ttl};
    use domain::rdata::A;
    let socket = UdpSocket::bind("127.0.0.1:5353").unwrap();
    let (send, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 4096];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let Ok(query) = Message::from_slice(&buffer[..count]) else {
                continue;
            };
            let question = query.sole_question().unwrap();
            let name = question.qname().to_string();
            let found: Vec<_> = known.iter().filter(|(one, _)| *one == name).collect();
            let rcode = if found.is_empty() {
                Rcode::NXDOMAIN
            } else {
                Rcode::NOERROR
            };
            let mut answer = MessageBuilder::new_vec()
                .start_answer(query, rcode)
                .unwrap();
            if question.qtype() == Rtype::A {
                for (_, address) in found {
                    let record = A::new(address.parse().unwrap());
                    answer
                        .push((question.qname(), Class::IN, Ttl::from_secs(5), record))
                        .unwrap();
                }
            }
            let _ = send.send(name);
            let _ = socket.send_to(&answer.finish(), from);
        }
    });
    asked
}

/// An address, for tests.
pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)
}
