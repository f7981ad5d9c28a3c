//! Secrets: a guest sends requests to an endpoint, and the host of the secret alone gets its value.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may stop at the first surprise

mod tls_host;
mod world;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use banger_egress::{Egress, Grant, Policy};
use banger_net_control::{Event, Handover, Proxy, Record, read_audit};
use banger_secret::{SecretUse, SecretValue};
use domain::base::iana::Rcode;
use smoltcp::socket::tcp::State;
use tls_host::{Certificate, serve};
use world::{Conn, Opened, World, at, in_namespace, name_server, policy};

const VALUE: &str = "sk-0123456789abcdef";
const NAMES: &[(&str, &str)] = &[("api.example", "1.2.3.4"), ("inner.example", "10.1.0.1")];

fn uses(text: &str) -> Vec<SecretUse> {
    vec![text.parse().unwrap()]
}

fn handover(value: &str) -> Handover {
    let value = SecretValue::new(value.as_bytes().to_vec().into()).unwrap();
    Handover {
        values: vec![Some(value)],
        authorities: vec![include_bytes!("tls/ca.der").to_vec()],
    }
}

/// A guest that uses one secret, whose value the process has.
fn world(policy: Policy, one: &str) -> World {
    let world = World::with(policy, |config| config.secrets = uses(one));
    world
        .client()
        .set_secrets(uses(one), &handover(VALUE))
        .unwrap();
    world
}

fn open(world: &mut World) -> Opened {
    let (rcode, addresses) = world.guest.lookup("api.secret.internal");
    assert_eq!((rcode, addresses.len()), (Rcode::NOERROR, 1));
    world.guest.open((addresses[0], 80).into())
}

fn opened(world: &mut World) -> Conn {
    match open(world) {
        Opened::Yes(conn) => conn,
        other => panic!("{other:?}"),
    }
}

fn ask(world: &mut World, conn: Conn, request: &str) {
    let request = request.replace("HOST", "Host: api.secret.internal\r\n");
    world.guest.send(conn, request.as_bytes());
}

/// Receives until the text ends so.
fn answer(world: &mut World, conn: Conn, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let more = world.guest.receive(conn, 1);
        assert!(!more.is_empty(), "it ended after {text:?}");
        text.push_str(std::str::from_utf8(&more).unwrap());
    }
    text
}

fn next(requests: &Receiver<String>) -> String {
    requests.recv_timeout(Duration::from_secs(10)).unwrap()
}

#[test]
fn the_host_gets_the_secret_and_the_guest_whatever_the_host_answers() {
    in_namespace(
        "the_host_gets_the_secret_and_the_guest_whatever_the_host_answers",
        || {
            let _asked = name_server(NAMES);
            let (go_on, wait) = channel();
            let requests = serve(443, Certificate::Good, wait);
            let mut world = world(policy(1, Egress::List, &[]), "api=api.example");
            let conn = opened(&mut world);

            ask(
                &mut world,
                conn,
                "GET /plain?key=x HTTP/1.1\r\nHOSTAuthorization: Bearer of the guest\r\n\r\n",
            );
            assert!(answer(&mut world, conn, "word").contains("content-length: 4"));
            let request = next(&requests);
            assert!(
                request.starts_with("GET /plain?key=x HTTP/1.1\r\nhost: api.example\r\n"),
                "{request}"
            );
            assert!(
                request.contains(&format!("authorization: Bearer {VALUE}\r\n")),
                "{request}"
            );
            assert!(!request.contains("guest"), "{request}");

            // On the same connection, and each event as it comes.
            ask(&mut world, conn, "GET /events HTTP/1.1\r\nHOST\r\n");
            answer(&mut world, conn, "data: 1\n\n\r\n");
            go_on.send(()).unwrap();
            answer(&mut world, conn, "data: 2\n\n\r\n0\r\n\r\n");
            assert!(next(&requests).contains(VALUE));

            // The body waits for the host's word.
            ask(
                &mut world,
                conn,
                "POST /continue HTTP/1.1\r\nHOSTExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            answer(&mut world, conn, "100 Continue\r\n\r\n");
            ask(&mut world, conn, "3\r\nabc\r\n0\r\n\r\n");
            answer(&mut world, conn, "word");
            assert!(next(&requests).ends_with("3\r\nabc\r\n0\r\n\r\n"));

            ask(&mut world, conn, "HEAD /plain HTTP/1.1\r\nHOST\r\n");
            assert!(answer(&mut world, conn, "\r\n\r\n").contains("content-length: 4"));
            next(&requests);

            for (path, link) in [
                ("/away", "location: https://cdn.example/x\r\n"),
                ("/home", "location: http://api.secret.internal/x\r\n"),
            ] {
                ask(
                    &mut world,
                    conn,
                    &format!("GET {path} HTTP/1.1\r\nHOST\r\n"),
                );
                let told = answer(&mut world, conn, "\r\n\r\n");
                assert!(told.contains(link), "{told}");
                next(&requests);
            }

            // Much, and more than fits anywhere.
            let body = "a".repeat(1 << 20);
            ask(
                &mut world,
                conn,
                &format!(
                    "PUT /plain HTTP/1.1\r\nHOSTContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ),
            );
            answer(&mut world, conn, "word");
            assert!(next(&requests).ends_with(&body));
            ask(
                &mut world,
                conn,
                "GET /large HTTP/1.1\r\nHOSTConnection: close\r\n\r\n",
            );
            let large = world.guest.receive(conn, usize::MAX);
            assert!(large.len() > 3 << 20, "{}", large.len());
            next(&requests);

            let log = read_audit(world.dir.path()).unwrap();
            assert!(!log.contains(VALUE) && !log.contains("key=x"), "{log}");
            let records = log
                .lines()
                .map(|line| serde_json::from_str::<Record>(line).unwrap());
            let sent: Vec<String> = records
                .filter_map(|record| match record.event {
                    Event::Secret {
                        secret,
                        host,
                        method,
                        path,
                        opened,
                    } if opened > 0 => Some(format!("{secret} {host} {method} {path}")),
                    _ => None,
                })
                .collect();
            assert_eq!(sent[0], "api api.example GET /plain");
            assert_eq!(sent.len(), 8, "{sent:?}");
            let config = fs::read_to_string(world.dir.path().join("net.json")).unwrap();
            assert!(
                config.contains("api=api.example") && !config.contains(VALUE),
                "{config}"
            );
            let limits =
                fs::read_to_string(format!("/proc/{}/limits", world.process.id())).unwrap();
            let core = limits
                .lines()
                .find(|line| line.starts_with("Max core"))
                .unwrap();
            assert!(
                matches!(core.split_ascii_whitespace().nth(5), Some("0" | "1")),
                "{core}"
            );
        },
    );
}

#[test]
fn nobody_else_gets_the_secret() {
    in_namespace("nobody_else_gets_the_secret", || {
        let asked = name_server(NAMES);
        let (_go_on, wait) = channel();
        let requests = serve(443, Certificate::OfNobody, wait);
        let mut world = world(policy(1, Egress::Public, &[]), "api=api.example");
        // Another name of endpoints is none of the host's name servers.
        for other in [
            "other.secret.internal",
            "secret.internal",
            "a.api.secret.internal",
        ] {
            assert_eq!(world.guest.lookup(other).0, Rcode::NXDOMAIN, "{other}");
        }
        assert!(asked.try_recv().is_err());
        let conn = opened(&mut world);
        ask(&mut world, conn, "GET /plain HTTP/1.1\r\nHOST\r\n");
        let told = world.guest.receive(conn, usize::MAX);
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with("HTTP/1.1 502 "), "{told}");
        assert!(told.contains("invalid peer certificate"), "{told}");
        let conn = opened(&mut world);
        world
            .guest
            .send(conn, b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n");
        let told = String::from_utf8(world.guest.receive(conn, usize::MAX)).unwrap();
        assert!(told.starts_with("HTTP/1.1 421 "), "{told}");
        let address = world.guest.lookup("api.secret.internal").1[0];
        for port in [443, 8080] {
            assert_eq!(
                world.guest.open((address, port).into()),
                Opened::Reset,
                "{port}"
            );
        }
        // The secret is for the endpoint alone: the guest's own way is as it was.
        let mut client = world.client();
        client.set_policy(policy(2, Egress::List, &[])).unwrap();
        assert_eq!(world.guest.open(at("1.2.3.4", 443)), Opened::Reset);
        assert!(requests.try_recv().is_err(), "a request has arrived");
    });
}

#[test]
fn what_is_denied_or_leads_inwards_is_not_reached() {
    in_namespace("what_is_denied_or_leads_inwards_is_not_reached", || {
        let _asked = name_server(NAMES);
        let (_go_on, wait) = channel();
        let requests = serve(443, Certificate::Good, wait);
        let mut world = world(policy(1, Egress::Public, &[]), "api=inner.example");
        // A name's owner chooses where it leads.
        assert_eq!(open(&mut world), Opened::Reset);
        let mut client = world.client();
        client
            .set_policy(policy(2, Egress::Public, &["10.1.0.0/16:443"]))
            .unwrap();
        // It leads there by a rule; the certificate is another host's.
        let conn = opened(&mut world);
        ask(&mut world, conn, "GET /plain HTTP/1.1\r\nHOST\r\n");
        let told = String::from_utf8(world.guest.receive(conn, usize::MAX)).unwrap();
        assert!(told.contains("certificate"), "{told}");
        client
            .set_secrets(uses("api=api.example"), &handover(VALUE))
            .unwrap();
        let conn = opened(&mut world);
        let mut denying = policy(3, Egress::Public, &[]);
        let rule = "1.2.3.0/24:443".parse().unwrap();
        denying.layers[0].deny.push(Grant::always(rule));
        client.set_policy(denying).unwrap();
        world
            .guest
            .until(|guest| (guest.state(conn) == State::Closed).then_some(()))
            .expect("an open connection stays");
        assert_eq!(open(&mut world), Opened::Reset);
        assert!(requests.try_recv().is_err(), "a request has arrived");
        let refused = client.denials(0).unwrap();
        let words: Vec<_> = refused.iter().filter_map(Record::words).collect();
        assert!(
            words.iter().any(|one| one.contains("api.example")),
            "{words:?}"
        );
    });
}

#[test]
fn a_value_comes_later_changes_and_goes() {
    in_namespace("a_value_comes_later_changes_and_goes", || {
        let _asked = name_server(NAMES);
        let (_go_on, wait) = channel();
        let requests = serve(8443, Certificate::Good, wait);
        let one = "api=localhost:8443:x-api-key";
        let mut world = World::with(policy(1, Egress::Public, &[]), |config| {
            config.secrets = uses(one)
        });
        // Its kernel asks again until the daemon has given the value.
        let address = world.guest.lookup("api.secret.internal").1[0];
        let conn = world.guest.begin((address, 80).into());
        let early = world.guest.frames(Duration::from_millis(300));
        assert!(early.is_empty(), "{early:?}");
        let mut client = world.client();
        client.set_secrets(uses(one), &handover(VALUE)).unwrap();
        world
            .guest
            .until(|guest| (guest.state(conn) == State::Established).then_some(()))
            .expect("it is not answered");
        ask(&mut world, conn, "GET /plain HTTP/1.1\r\nHOST\r\n");
        answer(&mut world, conn, "word");
        let request = next(&requests);
        assert!(request.contains("host: localhost:8443\r\n"), "{request}");
        assert!(
            request.contains(&format!("x-api-key: {VALUE}\r\n")),
            "{request}"
        );

        // The same again cuts nothing; another one does.
        client.set_secrets(uses(one), &handover(VALUE)).unwrap();
        ask(&mut world, conn, "GET /plain HTTP/1.1\r\nHOST\r\n");
        answer(&mut world, conn, "word");
        next(&requests);
        client.set_secrets(uses(one), &handover("sk-new")).unwrap();
        world
            .guest
            .until(|guest| (guest.state(conn) == State::Closed).then_some(()))
            .expect("the old value is still used");
        let conn = opened(&mut world);
        ask(&mut world, conn, "GET /plain HTTP/1.1\r\nHOST\r\n");
        answer(&mut world, conn, "word");
        assert!(next(&requests).contains("x-api-key: sk-new\r\n"));

        // Kept no more, and then used no more.
        let gone = Handover {
            values: vec![None],
            ..handover(VALUE)
        };
        client.set_secrets(uses(one), &gone).unwrap();
        assert_eq!(open(&mut world), Opened::Reset);
        client
            .set_secrets(Vec::new(), &Handover::default())
            .unwrap();
        assert_eq!(world.guest.lookup("api.secret.internal").0, Rcode::NXDOMAIN);
        let wrong = client.set_secrets(uses(one), &Handover::default());
        assert!(wrong.is_err());
    });
}

#[test]
fn the_host_is_reached_through_the_proxy_where_there_is_one() {
    in_namespace(
        "the_host_is_reached_through_the_proxy_where_there_is_one",
        || {
            let _asked = name_server(NAMES);
            let (_go_on, wait) = channel();
            let requests = serve(8443, Certificate::Good, wait);
            let listener = TcpListener::bind("127.0.0.1:3128").unwrap();
            let (tell, asked) = channel();
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                        head.push(byte[0]);
                    }
                    let _ = tell.send(String::from_utf8(head).unwrap());
                    let host = std::net::TcpStream::connect("127.0.0.1:8443").unwrap();
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    let (mut from, mut to) =
                        (stream.try_clone().unwrap(), host.try_clone().unwrap());
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                    let (mut from, mut to) = (host, stream);
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                }
            });
            let one = "api=api.example";
            let mut world = World::with(policy(1, Egress::Public, &[]), |config| {
                config.secrets = uses(one);
                config.proxy = Some(Proxy {
                    addresses: vec!["127.0.0.1:3128".parse().unwrap()],
                    except: Vec::new(),
                });
            });
            world
                .client()
                .set_secrets(uses(one), &handover(VALUE))
                .unwrap();
            let conn = opened(&mut world);
            ask(&mut world, conn, "GET /plain HTTP/1.1\r\nHOST\r\n");
            answer(&mut world, conn, "word");
            let told = next(&asked);
            assert!(
                told.starts_with("CONNECT api.example:443 HTTP/1.1\r\n"),
                "{told}"
            );
            assert!(!told.contains(VALUE) && next(&requests).contains(VALUE));
        },
    );
}
