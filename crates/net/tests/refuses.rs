//! Refused at once and told is what is not allowed; ways around the policy lead nowhere.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may stop at the first surprise

mod world;

use std::time::Duration;

use banger_egress::{Egress, Protocol};
use banger_net_control::{
    AuditError, Check, ControlError, FailureCode, read_audit, replay, verify,
};
use domain::base::iana::Rcode;
use smoltcp::wire::{IpProtocol, TcpPacket, TcpRepr, TcpSeqNumber};
use world::{Guest, Opened, World, at, echo, in_namespace, name_server, policy, udp_echo};

#[test]
fn public_reaches_the_internet_and_nothing_else() {
    in_namespace("public_reaches_the_internet_and_nothing_else", || {
        echo(80);
        udp_echo("10.1.0.1", 7);
        let mut world = World::new(policy(1, Egress::Public, &["host:81"]));
        world.guest.opened(at("1.2.3.4", 80));
        for address in [
            // The host by its gateway, its loopback, another address of its own, and no address.
            "10.0.2.2",
            "127.0.0.1",
            "127.9.9.9",
            "192.0.2.77",
            "10.99.0.1",
            "0.0.0.0",
            // Private, metadata, reserved.
            "10.1.0.1",
            "169.254.169.254",
            "169.254.1.1",
            "240.0.0.1",
            // IPv4 in IPv6.
            "::ffff:127.0.0.1",
            "::ffff:10.1.0.1",
            "64:ff9b::7f00:1",
            "::1",
            "fd62:616e:6765::2",
            "fd00:ec2::254",
            "fe80::1234",
        ] {
            let opened = world.guest.open(at(address, 80));
            assert_eq!(opened, Opened::Reset, "{address}");
        }
        // What this guest's own stack would not send.
        for address in ["0.0.0.0", "127.0.0.1", "0.1.2.3"] {
            world.guest.raw(&syn("10.0.2.15", address, 80, 0));
            let frames = world.guest.frames(Duration::from_millis(300));
            let is_reset =
                |frame: &Vec<u8>| frame.len() >= 54 && frame[23] == 6 && frame[47] & 4 != 0;
            assert!(frames.iter().any(is_reset), "{address}: {frames:?}");
        }
        let refused = world.guest.datagram(at("10.1.0.1", 7), b"x");
        assert!(
            matches!(refused, Err(Some(icmp)) if icmp.code == 13),
            "{refused:?}"
        );
        // The rule for the host opens that port by any of its addresses, and no other one.
        assert_eq!(world.guest.open(at("10.0.2.2", 81)), Opened::Reset);
        echo(81);
        for address in ["10.0.2.2", "192.0.2.77"] {
            let conn = world.guest.opened(at(address, 81));
            assert_eq!(world.guest.exchange(conn, b"x"), b"x");
        }
        // However many they are, each is told.
        for _ in 0..700 {
            assert_eq!(world.guest.open(at("10.1.0.1", 80)), Opened::Reset);
        }
        assert_eq!(world.client().status().unwrap().counters.limited, 0);
        let denials = world.client().denials(0).unwrap();
        assert!(denials.len() >= 15, "{}", denials.len());
        let words = denials.last().unwrap().words().unwrap();
        assert!(words.contains("10.1.0.1:80"), "{words}");
    });
}

#[test]
fn none_reaches_nothing_and_a_policy_that_cannot_be_read_serves_nothing() {
    in_namespace(
        "none_reaches_nothing_and_a_policy_that_cannot_be_read_serves_nothing",
        || {
            echo(80);
            let asked = name_server(&[("a.example", "1.2.3.4")]);
            let mut world = World::new(policy(1, Egress::None, &[]));
            assert_eq!(world.guest.open(at("1.2.3.4", 80)), Opened::Reset);
            assert_eq!(world.guest.lookup("a.example").0, Rcode::REFUSED);
            assert_eq!(asked.try_iter().count(), 0);
            world.kill();
            let path = world.dir.path().join("net.json");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("\"none\"", "\"open\"")).unwrap();
            let status = std::process::Command::new(env!("CARGO_BIN_EXE_banger-net"))
                .arg(&path)
                .arg("token")
                .status()
                .unwrap();
            assert_eq!(status.code(), Some(2));
        },
    );
}

#[test]
fn a_list_binds_every_connection_to_the_name_that_was_asked() {
    in_namespace(
        "a_list_binds_every_connection_to_the_name_that_was_asked",
        || {
            echo(22);
            echo(8443);
            udp_echo("1.2.3.4", 123);
            let asked = name_server(&[
                ("a.example", "1.2.3.4"),
                ("b.packages.example", "1.2.3.5"),
                ("denied.example", "1.2.3.6"),
                // Answers that lead elsewhere.
                ("evil.packages.example", "127.0.0.1"),
                ("meta.packages.example", "169.254.169.254"),
                ("private.packages.example", "10.1.0.1"),
                ("own.packages.example", "192.0.2.77"),
            ]);
            let rules = [
                "a.example:22",
                "*.packages.example",
                "udp:a.example:123",
                "10.1.0.9:22",
            ];
            let mut world = World::new(policy(1, Egress::List, &rules));
            let (rcode, found) = world.guest.lookup("a.example");
            assert_eq!((rcode, found.len()), (Rcode::NOERROR, 1));
            assert!(found[0].to_string().starts_with("198.18."), "{found:?}");
            let conn = world.guest.opened(at(&found[0].to_string(), 22));
            assert_eq!(world.guest.exchange(conn, b"ssh"), b"ssh");
            assert_eq!(
                world.guest.open(at(&found[0].to_string(), 8443)),
                Opened::Reset
            );
            let sent = world
                .guest
                .datagram(at(&found[0].to_string(), 123), b"time");
            assert_eq!(sent, Ok(b"time".to_vec()));
            let (_, other) = world.guest.lookup("b.packages.example");
            world.guest.opened(at(&other[0].to_string(), 8443));
            // No question for a denied name leaves the host.
            asked.try_iter().for_each(drop);
            assert_eq!(world.guest.lookup("denied.example").0, Rcode::REFUSED);
            assert_eq!(
                world.guest.lookup("secret.data.denied.example").0,
                Rcode::REFUSED
            );
            assert_eq!(asked.try_iter().count(), 0);
            assert_eq!(
                world.guest.lookup("absent.packages.example").0,
                Rcode::NXDOMAIN
            );
            // The real addresses, a row that was never given, and names that lead to what is not public.
            for address in [
                "1.2.3.4",
                "1.2.3.6",
                "198.18.77.77",
                "10.0.2.2",
                "127.0.0.1",
            ] {
                assert_eq!(
                    world.guest.open(at(address, 22)),
                    Opened::Reset,
                    "{address}"
                );
            }
            for name in ["evil", "meta", "private", "own"] {
                let (_, found) = world.guest.lookup(&format!("{name}.packages.example"));
                assert_eq!(
                    world.guest.open(at(&found[0].to_string(), 22)),
                    Opened::Reset,
                    "{name}"
                );
            }
            // A rule for addresses needs no name.
            world.guest.opened(at("10.1.0.9", 22));
            let check = |target: &str, port| {
                let target = target.to_owned();
                let protocol = Protocol::Tcp;
                world
                    .client()
                    .check(Check {
                        protocol,
                        target,
                        port,
                    })
                    .unwrap()
                    .verdict
                    .is_allowed()
            };
            assert!(check("a.example", 22));
            assert!(!check("a.example", 80));
            assert!(!check("denied.example", 22));
            assert!(!check("private.packages.example", 22));
            assert!(check("10.1.0.9", 22));
            assert!(!check("host", 22));
        },
    );
}

#[test]
fn the_first_bytes_of_a_connection_may_not_name_another_host() {
    in_namespace(
        "the_first_bytes_of_a_connection_may_not_name_another_host",
        || {
            echo(80);
            let _asked = name_server(&[("a.example", "1.2.3.4")]);
            let mut world = World::new(policy(1, Egress::List, &["a.example"]));
            let (_, found) = world.guest.lookup("a.example");
            let to = at(&found[0].to_string(), 80);
            let honest = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
            let conn = world.guest.opened(to);
            assert_eq!(world.guest.exchange(conn, honest), honest);
            // Another protocol is carried.
            let conn = world.guest.opened(to);
            assert_eq!(
                world.guest.exchange(conn, b"SSH-2.0-x\r\n"),
                b"SSH-2.0-x\r\n"
            );
            let lie = b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n";
            let conn = world.guest.opened(to);
            world.guest.send(conn, lie);
            assert_eq!(world.guest.receive(conn, 1), b"");
            // In parts, which are held until they can be read.
            let conn = world.guest.opened(to);
            world.guest.send(conn, &lie[..20]);
            world
                .guest
                .until(|guest| (guest.socket(conn).send_queue() == 0).then_some(()))
                .unwrap();
            world.guest.send(conn, &lie[20..]);
            assert_eq!(world.guest.receive(conn, 1), b"");
            let words = world
                .client()
                .denials(0)
                .unwrap()
                .last()
                .unwrap()
                .words()
                .unwrap();
            assert!(words.contains("another host"), "{words}");
        },
    );
}

#[test]
fn a_changed_policy_cuts_what_it_does_not_allow_and_an_ended_rule_too() {
    in_namespace(
        "a_changed_policy_cuts_what_it_does_not_allow_and_an_ended_rule_too",
        || {
            echo(80);
            udp_echo("1.2.3.4", 7);
            let mut world = World::new(policy(1, Egress::Public, &["host:80"]));
            let (public, host) = (
                world.guest.opened(at("1.2.3.4", 80)),
                world.guest.opened(at("10.0.2.2", 80)),
            );
            let mut client = world.client();
            assert_eq!(
                client.set_policy(policy(2, Egress::Public, &[])).unwrap(),
                1
            );
            assert_eq!(world.guest.receive(host, 1), b"");
            world.guest.send(public, b"x");
            assert_eq!(world.guest.receive(public, 1), b"x");
            assert_eq!(client.set_policy(policy(3, Egress::None, &[])).unwrap(), 1);
            assert_eq!(world.guest.receive(public, 1), b"");
            // An older state, and one that cannot be enforced.
            for wrong in [
                policy(2, Egress::All, &[]),
                policy(3, Egress::All, &[]),
                policy(9, Egress::List, &["127.0.0.1"]),
            ] {
                let refused = client.set_policy(wrong);
                assert!(
                    matches!(
                        refused,
                        Err(ControlError::Refused {
                            code: FailureCode::Policy,
                            ..
                        })
                    ),
                    "{refused:?}"
                );
            }
            assert_eq!(world.guest.open(at("1.2.3.4", 80)), Opened::Reset);
            let mut ending = policy(4, Egress::Public, &["host:80"]);
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            ending.layers[0].allow[0].until = Some(now.as_secs() + 2);
            client.set_policy(ending).unwrap();
            let host = world.guest.opened(at("10.0.2.2", 80));
            assert_eq!(world.guest.receive(host, 1), b"");
            assert_eq!(world.guest.open(at("10.0.2.2", 80)), Opened::Reset);
            assert_eq!(client.status().unwrap().generation, 4);
        },
    );
}

fn syn(source: &str, destination: &str, port: u16, fragment: u16) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: 999,
        dst_port: port,
        control: smoltcp::wire::TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let mut bytes = vec![0; repr.buffer_len()];
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().into();
    repr.emit(
        &mut TcpPacket::new_unchecked(&mut bytes),
        &address(source),
        &address(destination),
        &Default::default(),
    );
    Guest::ipv4_frame(source, destination, IpProtocol::Tcp, fragment, &bytes)
}

#[test]
fn frames_that_lie_or_are_broken_are_dropped_and_harm_nothing() {
    in_namespace(
        "frames_that_lie_or_are_broken_are_dropped_and_harm_nothing",
        || {
            echo(80);
            let mut world = World::new(policy(1, Egress::Public, &[]));
            let conn = world.guest.opened(at("1.2.3.4", 80));
            let good = syn("10.0.2.15", "1.2.3.4", 80, 0);
            let mut frames = vec![
                // Another's address, the gateway's own, fragments.
                syn("10.0.2.99", "1.2.3.4", 80, 0),
                syn("10.0.2.2", "1.2.3.4", 80, 0),
                syn("127.0.0.1", "1.2.3.4", 80, 0),
                syn("10.0.2.15", "1.2.3.4", 80, 8),
                Vec::new(),
                vec![0xff; 14],
                vec![0; 65_549],
            ];
            frames.extend((0..good.len()).map(|end| good[..end].to_vec()));
            let mut state = 7_u64;
            for _ in 0..2000 {
                let mut frame = good.clone();
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let place = usize::try_from(state >> 33).unwrap() % (frame.len() - 14) + 14;
                // Neither destination nor port, so that none of them is one that opens.
                frame[place] ^= u8::try_from(state >> 56).unwrap() | 1;
                if frame[30..34] == good[30..34] {
                    frame[33] = 0;
                    frame[30] = 240;
                }
                frames.push(frame);
            }
            // The guest says that the gateway is elsewhere.
            let mut arp = vec![
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 99, 8, 6, 0, 1, 8, 0, 6, 4, 0,
                2, 2, 0, 0, 0, 0, 99,
            ];
            arp.extend([10, 0, 2, 2, 2, 0, 0, 0, 0, 15, 10, 0, 2, 15]);
            frames.push(arp);
            frames.iter().for_each(|frame| world.guest.raw(frame));
            world.guest.send(conn, b"still");
            assert_eq!(world.guest.receive(conn, 5), b"still");
            let status = world.client().status().unwrap();
            assert!(status.counters.dropped > 50, "{status:?}");
            assert_eq!(world.process.try_wait().unwrap(), None);
        },
    );
}

#[test]
fn refusals_are_told_inside_and_outside_and_the_log_is_whole() {
    in_namespace(
        "refusals_are_told_inside_and_outside_and_the_log_is_whole",
        || {
            echo(80);
            let mut world = World::new(policy(1, Egress::Public, &[]));
            let (send, told) = std::sync::mpsc::channel();
            let follower = world.client().follow(0).unwrap();
            std::thread::spawn(move || follower.flatten().for_each(|one| drop(send.send(one))));
            world.guest.opened(at("1.2.3.4", 80));
            assert_eq!(world.guest.open(at("10.1.0.1", 80)), Opened::Reset);
            let record = told.recv_timeout(world::WITHIN).unwrap();
            assert!(
                record.words().unwrap().contains("10.1.0.1:80"),
                "{record:?}"
            );
            let conn = world.guest.opened(at("10.0.2.3", 80));
            let page = world.guest.exchange(
                conn,
                b"GET /denied HTTP/1.1\r\nHost: banger.internal\r\n\r\n",
            );
            let page = String::from_utf8(page).unwrap();
            let body = page.split_once("\r\n\r\n").unwrap().1;
            let page: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(page["denied"].as_array().unwrap().len(), 1, "{page}");
            world.client().stop().unwrap();
            world.process.wait().unwrap();
            let text = read_audit(world.dir.path()).unwrap();
            let found = verify(&text).unwrap();
            assert!(found.records >= 3 && !found.cut_off, "{found:?}");
            let narrower = policy(2, Egress::None, &[]);
            let differences = replay(&text, &narrower).unwrap();
            assert!(
                differences
                    .iter()
                    .all(|one| one.was.is_allowed() && !one.would_be.is_allowed())
            );
            assert_eq!(differences.len(), 1);
            let forged = text.replacen("1.2.3.4", "1.2.3.5", 1);
            assert!(matches!(verify(&forged), Err(AuditError::Chain { .. })));
        },
    );
}
