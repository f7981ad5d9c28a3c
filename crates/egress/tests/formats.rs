//! Stored forms of policies, of this build and older ones.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_egress::{
    Denial, Destination, Egress, Grant, Grounds, Layer, Origin, Policy, Protocol, Question, Reason,
    SetName, Verdict,
};
use banger_formats::{Golden, every_variant};

fn grant(rule: &str, until: Option<u64>) -> Grant {
    let rule = rule.parse().unwrap();
    Grant { rule, until }
}

fn policy() -> Policy {
    let layer = |origin, egress| Layer {
        origin,
        egress,
        allow: vec![
            grant("github.com:22,443", None),
            grant("*.packages.example", Some(1_800_000_000)),
            grant("any:10.1.0.0/16:8000-8010", None),
            grant("[2600::1]:443", None),
            grant("@debian", None),
        ],
        deny: vec![grant("host:22", None), grant("udp:vm:db:53", None)],
        sets: [
            SetName::Debian,
            SetName::Pypi,
            SetName::Npm,
            SetName::Crates,
            SetName::Github,
        ]
        .into_iter()
        .map(|set| (set, vec!["mirror.example:80".parse().unwrap()]))
        .collect(),
    };
    Policy {
        version: 1,
        generation: 7,
        layers: vec![
            layer(Origin::User, Egress::Public),
            layer(Origin::Repository, Egress::List),
        ],
    }
}

fn questions() -> Vec<Question> {
    let open = |protocol, destination| Question::Open {
        protocol,
        destination,
        port: 443,
    };
    let address = "192.0.2.1".parse().unwrap();
    let name: banger_egress::Name = "a.example".parse().unwrap();
    vec![
        Question::Lookup(name.clone()),
        open(Protocol::Tcp, Destination::Address(address)),
        open(
            Protocol::Udp,
            Destination::Named {
                name: name.clone(),
                address,
            },
        ),
        open(Protocol::Icmp, Destination::Host),
        open(Protocol::Tcp, Destination::Vm(name)),
    ]
}

fn verdicts() -> Vec<Verdict> {
    let rule = || "a.example:443".parse().unwrap();
    let class = banger_egress::class("10.0.0.1".parse().unwrap());
    let reasons = vec![
        Reason::Closed,
        Reason::Denied(rule()),
        Reason::NotListed,
        Reason::Expired(grant("a.example", Some(9))),
        Reason::AddressWithoutName,
        Reason::NotPublic(class),
        Reason::Host,
        Reason::Vm,
        Reason::OtherHost,
    ];
    every_variant!(
        &reasons,
        Reason {
            Closed,
            Denied,
            NotListed,
            Expired,
            AddressWithoutName,
            NotPublic,
            Host,
            Vm,
            OtherHost
        }
    );
    let mut all = vec![
        Verdict::Allow(Grounds::Egress(Egress::All)),
        Verdict::Allow(Grounds::Rule(rule())),
    ];
    all.extend(reasons.into_iter().map(|reason| {
        Verdict::Deny(Denial {
            origin: Origin::User,
            reason,
            rule_to_add: Some(rule()),
        })
    }));
    all
}

#[test]
fn the_stored_forms_are_those_of_the_newest_golden_files() {
    let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
    golden.holds("policy.json", &policy()).unwrap();
    golden.holds("questions.json", &questions()).unwrap();
    golden.holds("verdicts.json", &verdicts()).unwrap();
}

#[test]
fn policies_of_older_builds_are_read() {
    let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(golden.read::<Policy>(1, "policy.json"), policy());
    assert_eq!(
        golden.read::<Vec<Question>>(1, "questions.json"),
        questions()
    );
    let mut first = verdicts();
    first.pop();
    assert_eq!(golden.read::<Vec<Verdict>>(1, "verdicts.json"), first);
    assert_eq!(golden.read::<Vec<Verdict>>(2, "verdicts.json"), verdicts());
    // The least that a policy says.
    let least = Policy::from_json(br#"{"version":1,"generation":1,"layers":[{}]}"#).unwrap();
    assert_eq!(least, Policy::new(1, Layer::of(Egress::Public)));
}
