//! Carried is what is allowed: TCP both ways, UDP, DNS, published ports.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may stop at the first surprise

mod world;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;

use banger_egress::Egress;
use banger_net_control::Publish;
use domain::base::iana::Rcode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
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
