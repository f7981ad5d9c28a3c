//! Carried is what is allowed: TCP both ways, UDP, DNS, published ports.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may stop at the first surprise

mod world;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;

use banger_egress::{Egress, Grant, Layer, Policy};
use banger_net_control::{Proxy, Publish};
use domain::base::iana::Rcode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with, socketpair};
use world::{
    Opened, World, at, echo, in_namespace, name_server, policy, published, sink, source, udp_echo,
};

#[test]
fn bytes_go_both_ways_and_both_ends_close() {
    in_namespace("bytes_go_both_ways_and_both_ends_close", || {
        echo(7);
        sink(9);
        source(19, 3 << 20);
        let mut world = World::new(policy(1, Egress::Public, &[]));
        let conn = world.guest.opened(at("1.2.3.4", 7));
        assert_eq!(world.guest.exchange(conn, b"hello"), b"hello");
        let large: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
        let conn = world.guest.opened(at("1.2.3.4", 9));
        let total = world.guest.exchange(conn, &large);
        assert_eq!(total, (large.len() as u64).to_be_bytes());
        let conn = world.guest.opened(at("1.2.3.4", 19));
        assert_eq!(world.guest.receive(conn, usize::MAX).len(), 3 << 20);
        let mut client = world.client();
        let status = client.status().unwrap();
        assert_eq!(status.counters.opened, 3);
        assert!(status.counters.received_bytes >= 3 << 20, "{status:?}");
    });
}

#[test]
fn a_refused_connection_is_reset_and_an_unreachable_one_is_told_by_icmp() {
    in_namespace(
        "a_refused_connection_is_reset_and_an_unreachable_one_is_told_by_icmp",
        || {
            let mut world = World::new(policy(1, Egress::Public, &[]));
            assert_eq!(world.guest.open(at("1.2.3.4", 1)), Opened::Reset);
            let unreachable = world.guest.open(at("1.2.4.4", 1));
            assert!(
                matches!(unreachable, Opened::Icmp(icmp) if icmp.code == 1),
                "{unreachable:?}"
            );
        },
    );
}

#[test]
fn datagrams_are_carried_and_a_closed_port_is_told() {
    in_namespace("datagrams_are_carried_and_a_closed_port_is_told", || {
        udp_echo("1.2.3.4", 7);
        let mut world = World::new(policy(1, Egress::Public, &[]));
        for size in [1, 1000, 60_000] {
            let bytes = vec![9; size];
            assert_eq!(world.guest.datagram(at("1.2.3.4", 7), &bytes), Ok(bytes));
        }
        let closed = world.guest.datagram(at("1.2.3.4", 1), b"x");
        assert!(
            matches!(closed, Err(Some(icmp)) if icmp.code == 3),
            "{closed:?}"
        );
    });
}

#[test]
fn names_are_answered_by_the_hosts_name_server_and_our_own_by_us() {
    in_namespace(
        "names_are_answered_by_the_hosts_name_server_and_our_own_by_us",
        || {
            let asked = name_server(&[("a.example", "1.2.3.4")]);
            let mut world = World::new(policy(1, Egress::Public, &[]));
            let address = |text: &str| vec![text.parse().unwrap()];
            assert_eq!(
                world.guest.lookup("a.example"),
                (Rcode::NOERROR, address("1.2.3.4"))
            );
            assert_eq!(world.guest.lookup("b.example").0, Rcode::NXDOMAIN);
            assert_eq!(
                world.guest.lookup("host.banger.internal"),
                (Rcode::NOERROR, address("10.0.2.2"))
            );
            assert_eq!(
                world.guest.lookup("other.banger.internal").0,
                Rcode::NXDOMAIN
            );
            assert_eq!(
                asked.try_iter().collect::<Vec<_>>(),
                ["a.example", "b.example"]
            );
            // Over TCP too.
            let name = "a.example".parse().unwrap();
            let query = banger_net::dns::make_query(&name, domain::base::iana::Rtype::A);
            let conn = world.guest.opened(at("10.0.2.3", 53));
            let framed = [
                &(u16::try_from(query.len()).unwrap()).to_be_bytes()[..],
                &query,
            ]
            .concat();
            let answer = world.guest.exchange(conn, &framed);
            let answer = banger_net::dns::parse_answer(&answer[2..], &query).unwrap();
            assert_eq!(answer.addresses, address("1.2.3.4"));
        },
    );
}

#[test]
fn a_published_port_leads_to_the_guest_and_says_when_it_is_taken() {
    in_namespace(
        "a_published_port_leads_to_the_guest_and_says_when_it_is_taken",
        || {
            echo(8081);
            let mut world = World::with(policy(1, Egress::None, &[]), |config| {
                config.publish = vec![published(8080, 80), published(8081, 81)];
            });
            let status = world.client().status().unwrap();
            assert_eq!(status.publish[0].failure, None);
            assert!(status.publish[1].failure.is_some());
            let conn = world.guest.listen(80);
            let host = std::thread::spawn(|| {
                let mut stream = TcpStream::connect("127.0.0.1:8080").unwrap();
                stream.write_all(b"ping").unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                answer
            });
            assert_eq!(world.guest.receive(conn, 4), b"ping");
            let from = world.guest.socket(conn).remote_endpoint().unwrap();
            assert_eq!(from.addr.to_string(), "10.0.2.2");
            world.guest.send(conn, b"pong");
            world.guest.socket(conn).close();
            world
                .guest
                .until(|_| host.is_finished().then_some(()))
                .unwrap();
            assert_eq!(host.join().unwrap(), b"pong");
            // Nobody listens in the guest: the host's connection is reset.
            let host = std::thread::spawn(|| {
                let mut stream = TcpStream::connect("127.0.0.1:8080").unwrap();
                stream.read(&mut [0; 8]).map_err(|error| error.kind())
            });
            world
                .guest
                .until(|_| host.is_finished().then_some(()))
                .unwrap();
            assert_eq!(
                host.join().unwrap(),
                Err(std::io::ErrorKind::ConnectionReset)
            );
        },
    );
}

#[test]
fn a_port_of_one_user_leads_through_the_agents_door_for_that_user_alone() {
    in_namespace(
        "a_port_of_one_user_leads_through_the_agents_door_for_that_user_alone",
        || {
            let mut world = World::new(policy(1, Egress::None, &[]));
            let mut client = world.client();
            let me = rustix::process::geteuid().as_raw();
            let mut publish = |address: &str, uid| {
                let listener = TcpListener::bind((address, 0)).unwrap();
                let at = listener.local_addr().unwrap();
                let port = Publish {
                    door: Some(65535),
                    only_uid: Some(uid),
                    ..Publish::new(at.ip(), at.port(), 3000)
                };
                client.publish(port, listener.as_fd()).unwrap();
                at
            };
            let (mine, anothers) = (publish("127.83.1.2", me), publish("127.83.1.2", me + 1));
            let ended = |at| {
                let mut stream = TcpStream::connect(at).unwrap();
                let answer = std::thread::spawn(move || {
                    stream.read(&mut [0; 8]).map_err(|error| error.kind())
                });
                answer.join().unwrap()
            };
            let reset = Err(std::io::ErrorKind::ConnectionReset);
            // Before it can see users, it takes nobody.
            assert_eq!(ended(mine), reset);
            let netlink = socket_with(
                AddressFamily::NETLINK,
                SocketType::DGRAM,
                SocketFlags::CLOEXEC,
                Some(netlink::SOCK_DIAG),
            );
            world.client().see_users(netlink.unwrap().as_fd()).unwrap();
            assert_eq!(ended(anothers), reset);
            let conn = world.guest.listen(65535);
            let host = std::thread::spawn(move || {
                let mut stream = TcpStream::connect(mine).unwrap();
                stream.write_all(b"ping").unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).unwrap();
                answer
            });
            let told = [&3000_u16.to_be_bytes()[..], b"ping"].concat();
            assert_eq!(world.guest.receive(conn, told.len()), told);
            world.guest.send(conn, b"pong");
            world
                .guest
                .until(|_| host.is_finished().then_some(()))
                .unwrap();
            assert_eq!(&host.join().unwrap(), b"pong");
            let status = world.client().status().unwrap();
            assert_eq!(status.publish.len(), 2, "{status:?}");
        },
    );
}

#[test]
fn a_port_at_an_address_of_version_6_leads_to_the_guest() {
    in_namespace(
        "a_port_at_an_address_of_version_6_leads_to_the_guest",
        || {
            let mut world = World::with(policy(1, Egress::None, &[]), |config| {
                config.publish = vec![Publish::new("::1".parse().unwrap(), 8080, 80)];
            });
            let conn = world.guest.listen(80);
            let host = std::thread::spawn(|| {
                let mut stream = TcpStream::connect("[::1]:8080").unwrap();
                stream.write_all(b"ping").unwrap();
                stream.read(&mut [0; 8]).unwrap()
            });
            assert_eq!(world.guest.receive(conn, 4), b"ping");
            world.guest.send(conn, b"pong");
            world
                .guest
                .until(|_| host.is_finished().then_some(()))
                .unwrap();
            assert_eq!(host.join().unwrap(), 4);
        },
    );
}

/// A proxy that knows one host: it tells what it is asked, and says this to the rest.
fn proxy(port: u16, knows: &'static str, leads_to: u16) -> std::sync::mpsc::Receiver<String> {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (send, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let send = send.clone();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).unwrap() == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let line = String::from_utf8(head).unwrap();
                let target = line.split(' ').nth(1).unwrap().to_owned();
                let known = target == knows;
                send.send(target).unwrap();
                if !known {
                    stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap();
                    return;
                }
                let mut server = TcpStream::connect(("127.0.0.1", leads_to)).unwrap();
                // In one segment with what the server says, as a proxy may.
                stream
                    .write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
                    .unwrap();
                let (mut from, mut to) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
                let _ = std::io::copy(&mut server, &mut stream);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    asked
}

#[test]
fn the_internet_is_reached_through_the_proxy_and_everything_else_without() {
    in_namespace(
        "the_internet_is_reached_through_the_proxy_and_everything_else_without",
        || {
            echo(7);
            // Whoever goes there directly gets another answer.
            source(8, 3);
            let asked = proxy(3128, "a.example:8", 7);
            name_server(&[("a.example.", "1.2.3.4"), ("a.example", "1.2.3.4")]);
            let rules = ["10.1.0.0/16:7", "host:7"];
            let mut world = World::with(policy(1, Egress::Public, &rules), |config| {
                config.proxy = Some(Proxy {
                    // The first one takes nobody.
                    addresses: vec![at("127.0.0.1", 1), at("127.0.0.1", 3128)],
                    except: vec!["1.2.3.9".to_owned()],
                });
            });
            world.guest.lookup("a.example");
            let conn = world.guest.opened(at("1.2.3.4", 8));
            assert_eq!(world.guest.exchange(conn, b"through"), b"through");
            assert_eq!(asked.try_iter().collect::<Vec<_>>(), ["a.example:8"]);
            // What the proxy refuses is refused, and told as that.
            let refused = world.guest.open(at("1.2.3.5", 7));
            assert!(
                matches!(refused, Opened::Icmp(icmp) if icmp.code == 13 || icmp.code == 10),
                "{refused:?}"
            );
            assert_eq!(asked.try_iter().collect::<Vec<_>>(), ["1.2.3.5:7"]);
            // What the policy refuses is not even asked for.
            assert_eq!(world.guest.open(at("169.254.169.254", 7)), Opened::Reset);
            for direct in ["1.2.3.9", "10.1.0.1", "10.0.2.2"] {
                let conn = world.guest.opened(at(direct, 7));
                assert_eq!(world.guest.exchange(conn, b"direct"), b"direct");
            }
            assert_eq!(asked.try_iter().count(), 0);
            let status = world.client().status().unwrap();
            assert_eq!((status.tcp, status.half_open), (0, 0), "{status:?}");
        },
    );
}

#[test]
fn without_an_answer_of_the_proxy_nothing_goes_around_it() {
    in_namespace(
        "without_an_answer_of_the_proxy_nothing_goes_around_it",
        || {
            echo(7);
            for addresses in [Vec::new(), vec![at("127.0.0.1", 1)]] {
                let mut world = World::with(policy(1, Egress::Public, &[]), |config| {
                    config.proxy = Some(Proxy {
                        addresses,
                        except: Vec::new(),
                    });
                });
                let opened = world.guest.open(at("1.2.3.4", 7));
                assert!(!matches!(opened, Opened::Yes(_)), "{opened:?}");
            }
        },
    );
}

#[test]
fn joined_vms_reach_each_other_as_far_as_both_let_them() {
    in_namespace(
        "joined_vms_reach_each_other_as_far_as_both_let_them",
        || {
            let mut web = World::new(policy(1, Egress::Public, &["vm:db:5432", "vm:db:22"]));
            let mut db = World::new(policy(1, Egress::None, &[]));
            assert_eq!(web.guest.lookup("db.vm").0, Rcode::NXDOMAIN);
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let join = |web: &World, db: &World| {
                let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
                let (here, there) = pair.unwrap();
                web.client()
                    .join("db".parse().unwrap(), here.as_fd())
                    .unwrap();
                db.client()
                    .join("web".parse().unwrap(), there.as_fd())
                    .unwrap();
            };
            join(&web, &db);
            let (_, addresses) = web.guest.lookup("db.vm");
            let at_db = |port| std::net::SocketAddr::new(addresses[0], port);
            let large: Vec<u8> = (0..1 << 19).map(|n: u32| n.to_le_bytes()[1]).collect();
            std::thread::scope(|scope| {
                let server = scope.spawn(|| {
                    let conn = db.guest.listen(5432);
                    let got = db.guest.receive(conn, usize::MAX);
                    let from = db.guest.socket(conn).remote_endpoint().unwrap().addr;
                    db.guest.send(conn, b"pong");
                    db.guest.socket(conn).close();
                    db.guest.until(|guest| {
                        let socket = guest.socket(conn);
                        (!socket.is_active()).then_some(())
                    });
                    (got, from.to_string())
                });
                let conn = web.guest.opened(at_db(5432));
                assert_eq!(web.guest.exchange(conn, &large), b"pong");
                let (got, from) = server.join().unwrap();
                assert!(got == large, "{} of {} bytes", got.len(), large.len());
                assert!(from.starts_with("198.18."), "{from}");
            });
            // No rule, and nobody who listens.
            assert_eq!(web.guest.open(at_db(80)), Opened::Reset);
            std::thread::scope(|scope| {
                let idle = scope.spawn(|| db.guest.frames(std::time::Duration::from_millis(10)));
                idle.join().unwrap();
            });
            // Denied by the other side, which says so in its own log.
            let layer = Layer {
                deny: vec![Grant::always("vm:web:1-65535".parse().unwrap())],
                ..Layer::of(Egress::None)
            };
            db.client().set_policy(Policy::new(2, layer)).unwrap();
            assert_eq!(web.guest.open(at_db(5432)), Opened::Reset);
            let denials = db.client().denials(0).unwrap();
            assert_eq!(denials.len(), 1, "{denials:?}");
            // A process that is replaced is not joined, and the other one sees it at once.
            db.kill();
            db.replace();
            assert!(db.client().status().unwrap().peers.is_empty());
            assert!(web.client().status().unwrap().peers.is_empty());
            join(&web, &db);
            assert_eq!(web.client().status().unwrap().peers.len(), 1);
            web.client().leave("db".parse().unwrap()).unwrap();
            assert_eq!(web.guest.lookup("db.vm").0, Rcode::NXDOMAIN);
        },
    );
}
