//! Forms of the configuration, the messages and the audit log, of this build and older ones.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_egress::{Egress, Grounds, Layer, Policy, Protocol, Question, Verdict};
use banger_formats::{Golden, every_variant};
use banger_net_control::{
    Check, Checked, Counters, Event, FailureCode, GuestLink, Hello, Link, NameServers, NetConfig,
    NetIdentity, Proxy, Publish, PublishStatus, Record, Reply, Request, Status, Told,
};
use banger_secret::SecretUse;

fn policy() -> Policy {
    Policy::new(3, Layer::of(Egress::Public))
}

fn port() -> Publish {
    Publish {
        host_ip: "127.0.0.1".parse().unwrap(),
        host_port: 8080,
        guest_port: 80,
        door: Some(65535),
        only_uid: Some(1000),
    }
}

fn config() -> NetConfig {
    NetConfig {
        version: 1,
        vm_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        vm_name: "web".to_owned(),
        launch_token: "token".to_owned(),
        link: Link {
            own: "/run/net.sock".into(),
            peer: "/run/net.qemu".into(),
        },
        control: "/run/net.control".into(),
        audit: Some("/state/web".into()),
        guest: GuestLink {
            mac: Some([0x52, 0x54, 0, 1, 2, 3]),
            ..GuestLink::default()
        },
        dns: NameServers {
            servers: vec!["127.0.0.53:53".parse().unwrap()],
            ..NameServers::default()
        },
        proxy: Some(Proxy {
            addresses: vec!["192.0.2.9:3128".parse().unwrap()],
            except: vec!["localhost".to_owned(), ".example.com".to_owned()],
        }),
        publish: vec![port()],
        secrets: secrets(),
        policy: policy(),
    }
}

fn secrets() -> Vec<SecretUse> {
    vec![
        "openai=api.openai.com".parse().unwrap(),
        "local=localhost:8443:x-api-key".parse().unwrap(),
    ]
}

fn identity() -> NetIdentity {
    NetIdentity {
        pid: 4711,
        start_ticks: 123_456,
        boot_id: "0b4ee1a3-0000-4000-8000-000000000001".to_owned(),
        exe: "/usr/bin/banger".into(),
        token: "token".to_owned(),
        dir: "/run/web".into(),
    }
}

fn told() -> Told {
    let question = Question::Lookup("a.example".parse().unwrap());
    Told {
        verdict: Verdict::Allow(Grounds::Egress(Egress::Public)),
        question,
        generation: 3,
    }
}

fn records() -> Vec<Record> {
    let events = vec![
        Event::Started {
            pid: 9,
            policy: policy(),
        },
        Event::PolicySet { policy: policy() },
        Event::Judged(told()),
        Event::Closed {
            opened: 3,
            sent: 1,
            received: 2,
            lasted_ms: 4,
        },
        Event::Omitted { count: 5 },
        Event::Secret {
            secret: "openai".parse().unwrap(),
            host: "api.openai.com".parse().unwrap(),
            method: "POST".to_owned(),
            path: "/v1/responses".to_owned(),
            opened: 3,
        },
    ];
    every_variant!(
        &events,
        Event {
            Started,
            PolicySet,
            Judged,
            Closed,
            Omitted,
            Secret
        }
    );
    let records = events.into_iter().enumerate();
    records
        .map(|(index, event)| Record {
            seq: u64::try_from(index).unwrap() + 1,
            at_ms: 1_700_000_000_000,
            prev: "00".to_owned(),
            event,
        })
        .collect()
}

fn requests() -> Vec<Request> {
    let all = vec![
        Request::Hello { protocol: 1 },
        Request::SetPolicy { policy: policy() },
        Request::SetNameServers {
            servers: vec!["[::1]:53".parse().unwrap()],
        },
        Request::Watch,
        Request::SeeUsers,
        Request::Publish { port: port() },
        Request::Unpublish { port: port() },
        Request::Join {
            peer: "db".parse().unwrap(),
        },
        Request::Leave {
            peer: "db".parse().unwrap(),
        },
        Request::SetSecrets { uses: secrets() },
        Request::Status,
        Request::Denials {
            after: 1,
            follow: true,
        },
        Request::Check(Check {
            protocol: Protocol::Tcp,
            target: "a.example".to_owned(),
            port: 443,
        }),
        Request::Stop,
    ];
    every_variant!(
        &all,
        Request {
            Hello,
            SetPolicy,
            SetNameServers,
            Watch,
            SeeUsers,
            Publish,
            Unpublish,
            Join,
            Leave,
            SetSecrets,
            Status,
            Denials,
            Check,
            Stop
        }
    );
    all
}

fn replies() -> Vec<Reply> {
    let failed = |code| Reply::Failed {
        code,
        message: "words".to_owned(),
    };
    let mut all = vec![
        Reply::Hello(Hello {
            protocol: 1,
            token: "token".to_owned(),
            pid: 9,
            generation: 3,
            build: "0.1.0".to_owned(),
        }),
        Reply::PolicySet {
            generation: 3,
            reset: 2,
        },
        Reply::Status(Box::new(Status {
            generation: 3,
            uptime_ms: 1,
            watches_vmm: true,
            tcp: 1,
            half_open: 2,
            udp: 3,
            names: 4,
            buffer_bytes: 5,
            counters: Counters {
                frames_in: 1,
                frames_out: 2,
                dropped: 3,
                opened: 4,
                denied: 5,
                limited: 6,
                sent_bytes: 7,
                received_bytes: 8,
                lookups: 9,
            },
            publish: vec![PublishStatus {
                port: port(),
                failure: Some("address in use".to_owned()),
            }],
            peers: vec!["db".parse().unwrap()],
            name_servers: vec!["127.0.0.53:53".parse().unwrap()],
        })),
        Reply::Denial(Box::new(records().remove(2))),
        Reply::Checked(Checked {
            addresses: vec!["192.0.2.1".parse().unwrap()],
            verdict: told().verdict,
        }),
        Reply::Done,
    ];
    let codes = [
        FailureCode::Malformed,
        FailureCode::Protocol,
        FailureCode::Policy,
        FailureCode::Descriptor,
        FailureCode::Host,
        FailureCode::Unknown,
    ];
    every_variant!(
        &codes,
        FailureCode {
            Malformed,
            Protocol,
            Policy,
            Descriptor,
            Host,
            Unknown
        }
    );
    all.extend(codes.map(failed));
    every_variant!(
        &all,
        Reply {
            Hello,
            PolicySet,
            Status,
            Denial,
            Checked,
            Done,
            Failed
        }
    );
    all
}

#[test]
fn the_forms_are_those_of_the_newest_golden_files() {
    let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
    golden.holds("config.json", &config()).unwrap();
    golden.holds("identity.json", &identity()).unwrap();
    golden.holds("records.json", &records()).unwrap();
    golden.holds("requests.json", &requests()).unwrap();
    golden.holds("replies.json", &replies()).unwrap();
}

#[test]
fn what_older_builds_wrote_is_read() {
    let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(golden.read::<NetConfig>(6, "config.json"), config());
    let mut of_version_4 = config();
    of_version_4.secrets.clear();
    assert_eq!(golden.read::<NetConfig>(4, "config.json"), of_version_4);
    let mut of_version_3 = of_version_4;
    of_version_3.proxy = None;
    assert_eq!(golden.read::<NetConfig>(3, "config.json"), of_version_3);
    let plain = Publish::new(port().host_ip, port().host_port, port().guest_port);
    let mut of_version_2 = of_version_3;
    of_version_2.publish = vec![plain];
    assert_eq!(golden.read::<NetConfig>(2, "config.json"), of_version_2);
    let mut of_version_1 = of_version_2;
    of_version_1.guest.mac = None;
    assert_eq!(golden.read::<NetConfig>(1, "config.json"), of_version_1);
    assert_eq!(golden.read::<NetIdentity>(2, "identity.json"), identity());
    assert_eq!(golden.read::<Vec<Record>>(6, "records.json"), records());
    let mut of_version_1 = records();
    of_version_1.retain(|one| !matches!(one.event, Event::Secret { .. }));
    assert_eq!(golden.read::<Vec<Record>>(1, "records.json"), of_version_1);
    assert_eq!(golden.read::<Vec<Request>>(6, "requests.json"), requests());
    let mut of_version_5 = requests();
    of_version_5.retain(|one| !matches!(one, Request::SetSecrets { .. }));
    assert_eq!(
        golden.read::<Vec<Request>>(5, "requests.json"),
        of_version_5
    );
    let mut of_version_3 = of_version_5;
    of_version_3.retain(|one| !matches!(one, Request::Join { .. } | Request::Leave { .. }));
    assert_eq!(
        golden.read::<Vec<Request>>(3, "requests.json"),
        of_version_3
    );
    let mut of_version_1 = of_version_3;
    of_version_1.retain(|one| *one != Request::SeeUsers);
    for one in &mut of_version_1 {
        if let Request::Publish { port } | Request::Unpublish { port } = one {
            *port = plain;
        }
    }
    assert_eq!(
        golden.read::<Vec<Request>>(1, "requests.json"),
        of_version_1
    );
    assert_eq!(golden.read::<Vec<Reply>>(5, "replies.json"), replies());
    let mut of_version_3 = replies();
    for one in &mut of_version_3 {
        if let Reply::Status(status) = one {
            status.peers.clear();
        }
    }
    assert_eq!(golden.read::<Vec<Reply>>(3, "replies.json"), of_version_3);
    let mut of_version_1 = of_version_3;
    for one in &mut of_version_1 {
        if let Reply::Status(status) = one {
            status.publish[0].port = plain;
        }
    }
    assert_eq!(golden.read::<Vec<Reply>>(1, "replies.json"), of_version_1);
    let newer: FailureCode = serde_json::from_str("\"of_tomorrow\"").unwrap();
    assert_eq!(newer, FailureCode::Unknown);
}
