//! The judgement as a table, and its laws as properties.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_egress::{
    Destination, Egress, Grant, Layer, Name, Origin, Policy, Protocol, Question, Reason, Rule,
    SetName, Verdict,
};
use proptest::prelude::*;

const NOW: u64 = 1_000_000;

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

fn layer(egress: Egress, allow: &[&str], deny: &[&str]) -> Layer {
    let grants = |rules: &[&str]| rules.iter().map(|text| Grant::always(rule(text))).collect();
    let mut layer = Layer {
        allow: grants(allow),
        deny: grants(deny),
        ..Layer::of(egress)
    };
    let set = vec![rule("git.example:22,443"), rule("*.git.example:443")];
    layer.sets.insert(SetName::Github, set);
    layer
}

/// `lookup NAME`, `[udp] ADDRESS PORT`, `[udp] NAME=ADDRESS PORT`, `host PORT`, `vm NAME PORT`, `icmp ADDRESS`.
fn question(text: &str) -> Question {
    let words: Vec<&str> = text.split(' ').collect();
    let open = |protocol, destination, port: &str| Question::Open {
        protocol,
        destination,
        port: port.parse().unwrap(),
    };
    let place = |text: &str| match text.split_once('=') {
        Some((name, address)) => Destination::Named {
            name: name.parse().unwrap(),
            address: address.parse().unwrap(),
        },
        None => Destination::Address(text.parse().unwrap()),
    };
    match words[..] {
        ["lookup", name] => Question::Lookup(name.parse().unwrap()),
        ["host", port] => open(Protocol::Tcp, Destination::Host, port),
        ["udp", "host", port] => open(Protocol::Udp, Destination::Host, port),
        ["vm", name, port] => open(Protocol::Tcp, Destination::Vm(name.parse().unwrap()), port),
        ["icmp", to] => open(Protocol::Icmp, place(to), "0"),
        ["udp", to, port] => open(Protocol::Udp, place(to), port),
        [to, port] => open(Protocol::Tcp, place(to), port),
        _ => panic!("{text}"),
    }
}

fn denial(policy: &Policy, text: &str) -> Option<(Reason, Option<String>)> {
    match policy.judge(&question(text), NOW) {
        Verdict::Allow(_) => None,
        Verdict::Deny(denial) => Some((
            denial.reason,
            denial.rule_to_add.map(|rule| rule.to_string()),
        )),
    }
}

#[test]
fn every_egress_has_its_table() {
    let public = Policy::new(
        1,
        layer(
            Egress::Public,
            &[
                "host:5432",
                "10.1.0.0/16:443",
                "169.254.169.254:80",
                "0.0.0.0/0",
            ],
            &["host:22", "8.8.0.0/16", "udp:9.9.9.9"],
        ),
    );
    let list = Policy::new(
        1,
        layer(
            Egress::List,
            &[
                "a.example:22,443",
                "*.b.example",
                "udp:time.example:123",
                "icmp:a.example",
                "@github",
                "10.1.0.0/16:443",
                "1.1.1.0/24",
                "host:5432",
            ],
            &["x.b.example", "a.example:22"],
        ),
    );
    let all = Policy::new(1, layer(Egress::All, &[], &["10.0.0.0/8", "host:22"]));
    let none = Policy::new(1, layer(Egress::None, &[], &[]));
    for (policy, text, allowed) in [
        (&public, "lookup a.example", true),
        (&public, "1.2.3.4 25", true),
        (&public, "udp 1.2.3.4 443", true),
        (&public, "icmp 1.2.3.4", true),
        (&public, "a.example=1.2.3.4 443", true),
        (&public, "2600::1 443", true),
        (&public, "8.8.4.4 443", false),
        (&public, "udp 8.8.8.8 53", false),
        (&public, "icmp 8.8.8.8", false),
        (&public, "udp 9.9.9.9 53", false),
        (&public, "9.9.9.9 53", true),
        (&public, "127.0.0.1 5432", false),
        (&public, "::1 5432", false),
        (&public, "::ffff:127.0.0.1 80", false),
        (&public, "0.0.0.0 80", false),
        (&public, "10.1.2.3 443", true),
        (&public, "::ffff:10.1.2.3 443", true),
        (&public, "10.1.2.3 80", false),
        (&public, "udp 10.1.2.3 443", false),
        (&public, "64:ff9b::a01:203 443", false),
        (&public, "10.2.2.3 443", false),
        (&public, "a.example=10.1.2.3 443", true),
        (&public, "a.example=10.2.2.3 443", false),
        (&public, "169.254.169.254 80", true),
        (&public, "169.254.169.254 443", false),
        (&public, "169.254.170.2 80", false),
        (&public, "fd00:ec2::254 80", false),
        (&public, "240.0.0.1 80", false),
        (&public, "224.0.0.1 80", false),
        (&public, "host 5432", true),
        (&public, "host 5433", false),
        (&public, "host 22", false),
        (&public, "udp host 5432", false),
        (&public, "vm db 5432", false),
        (&list, "lookup a.example", true),
        (&list, "lookup b.example", false),
        (&list, "lookup c.b.example", true),
        (&list, "lookup d.c.b.example", true),
        (&list, "lookup x.b.example", false),
        (&list, "lookup time.example", true),
        (&list, "lookup git.example", true),
        (&list, "lookup other.example", false),
        (&list, "a.example=1.2.3.4 443", true),
        (&list, "a.example=1.2.3.4 22", false),
        (&list, "a.example=1.2.3.4 80", false),
        (&list, "udp a.example=1.2.3.4 443", false),
        (&list, "icmp a.example=1.2.3.4", true),
        (&list, "icmp c.b.example=1.2.3.4", false),
        (&list, "udp time.example=1.2.3.4 123", true),
        (&list, "time.example=1.2.3.4 123", false),
        (&list, "git.example=1.2.3.4 22", true),
        (&list, "api.git.example=1.2.3.4 443", true),
        (&list, "api.git.example=1.2.3.4 22", false),
        (&list, "x.b.example=1.2.3.4 443", false),
        (&list, "a.example=127.0.0.1 443", false),
        (&list, "a.example=10.2.0.1 443", false),
        (&list, "a.example=10.1.0.1 443", true),
        (&list, "a.example=169.254.169.254 443", false),
        (&list, "1.2.3.4 443", false),
        (&list, "1.1.1.1 443", true),
        (&list, "10.1.0.1 443", true),
        (&list, "host 5432", true),
        (&list, "host 80", false),
        (&all, "lookup a.example", true),
        (&all, "host 80", true),
        (&all, "host 22", false),
        (&all, "192.168.0.1 80", true),
        (&all, "10.0.0.1 80", false),
        (&all, "::ffff:10.0.0.1 80", false),
        (&all, "64:ff9b::a00:1 80", false),
        (&all, "2002:a00:1:: 80", false),
        (&all, "169.254.169.254 80", true),
        (&none, "lookup a.example", false),
        (&none, "1.2.3.4 443", false),
        (&none, "host 80", false),
    ] {
        let found = denial(policy, text);
        assert_eq!(
            found.is_none(),
            allowed,
            "{} {text}: {found:?}",
            policy.layers[0].egress
        );
    }
}

#[test]
fn a_refusal_names_the_rule_that_would_allow_it() {
    let list = Policy::new(1, layer(Egress::List, &["a.example"], &["b.example"]));
    let public = Policy::new(1, layer(Egress::Public, &[], &[]));
    for (policy, text, add) in [
        (&list, "lookup c.example", Some("c.example")),
        (&list, "c.example=1.2.3.4 443", Some("c.example:443")),
        (
            &list,
            "udp a.example=1.2.3.4 443",
            Some("udp:a.example:443"),
        ),
        (&list, "a.example=10.0.0.1 443", Some("10.0.0.1:443")),
        (&list, "a.example=127.0.0.1 443", None),
        (&list, "1.2.3.4 22", Some("1.2.3.4:22")),
        (&list, "2600::1 22", Some("[2600::1]:22")),
        (&list, "icmp 1.2.3.4", Some("icmp:1.2.3.4")),
        (&list, "b.example=1.2.3.4 443", None),
        (&public, "host 5432", Some("host:5432")),
        (&public, "udp host 53", Some("udp:host:53")),
        (&public, "192.168.1.1 80", Some("192.168.1.1:80")),
        (&public, "::ffff:192.168.1.1 80", Some("192.168.1.1:80")),
        (&public, "169.254.169.254 80", Some("169.254.169.254:80")),
        (&public, "224.0.0.1 80", None),
        (&public, "vm db 1", Some("vm:db:1")),
    ] {
        let (reason, found) = denial(policy, text).unwrap();
        assert_eq!(found.as_deref(), add, "{text}: {reason:?}");
        // The proposed rule does what it says.
        if let Some(add) = add {
            let mut wider = policy.clone();
            wider.layers[0].allow.push(Grant::always(rule(add)));
            assert_eq!(denial(&wider, text), None, "{text}");
        }
    }
}

#[test]
fn a_rule_counts_until_its_time_is_over_and_the_refusal_says_so() {
    let until = |until| {
        let mut layer = layer(Egress::List, &[], &[]);
        let rule = rule("a.example:443");
        layer.allow.push(Grant {
            rule,
            until: Some(until),
        });
        Policy::new(1, layer)
    };
    assert_eq!(denial(&until(NOW + 1), "a.example=1.2.3.4 443"), None);
    let (reason, _) = denial(&until(NOW), "a.example=1.2.3.4 443").unwrap();
    assert!(matches!(reason, Reason::Expired(_)), "{reason:?}");
    let (reason, _) = denial(&until(NOW), "lookup a.example").unwrap();
    assert!(matches!(reason, Reason::Expired(_)), "{reason:?}");
}

#[test]
fn a_policy_without_a_layer_or_that_cannot_be_read_allows_nothing() {
    let empty = Policy {
        layers: Vec::new(),
        ..Policy::closed(1)
    };
    assert!(denial(&empty, "1.2.3.4 443").is_some());
    assert!(denial(&Policy::closed(1), "lookup a.example").is_some());
    for text in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"version":2,"generation":1,"layers":[]}"#,
        r#"{"version":1,"generation":1,"layers":[{"egress":"open"}]}"#,
        r#"{"version":1,"generation":1,"layers":[{"allow":[{"rule":"*"}]}]}"#,
    ] {
        assert!(Policy::from_json(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_repositorys_list_never_opens_what_the_user_closed() {
    let repository = Layer {
        origin: Origin::Repository,
        ..layer(
            Egress::List,
            &["a.example:443", "host:5432", "10.0.0.1:80"],
            &[],
        )
    };
    let policy = Policy::new(1, layer(Egress::Public, &[], &[])).narrowed(repository);
    assert_eq!(denial(&policy, "a.example=1.2.3.4 443"), None);
    for text in [
        "host 5432",
        "10.0.0.1 80",
        "b.example=1.2.3.4 443",
        "lookup b.example",
        "1.2.3.4 443",
    ] {
        assert!(denial(&policy, text).is_some(), "{text}");
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just("a.example"),
        Just("*.example"),
        Just("a.example:443"),
        Just("udp:b.example"),
        Just("any:10.0.0.0/8"),
        Just("10.0.0.1:443"),
        Just("0.0.0.0/0"),
        Just("host"),
        Just("host:443"),
        Just("any:host"),
        Just("vm:db:443"),
        Just("169.254.169.254"),
        Just("icmp:10.0.0.1"),
        Just("[fd00::/8]:443"),
        Just("@github"),
    ]
    .prop_map(rule)
}

fn any_layer() -> impl Strategy<Value = Layer> {
    let egress = prop_oneof![
        Just(Egress::Public),
        Just(Egress::All),
        Just(Egress::None),
        Just(Egress::List)
    ];
    let grant = || {
        (any_rule(), proptest::option::of(NOW - 1..NOW + 2))
            .prop_map(|(rule, until)| Grant { rule, until })
    };
    let grants = |n| proptest::collection::vec(grant(), 0..n);
    (egress, grants(5), grants(3)).prop_map(|(egress, allow, deny)| Layer {
        allow,
        deny,
        ..layer(egress, &[], &[])
    })
}

fn any_question() -> impl Strategy<Value = Question> {
    let name = || {
        prop_oneof![Just("a.example"), Just("b.example"), Just("x.git.example")]
            .prop_map(|name| name.parse::<Name>().unwrap())
    };
    let address = || {
        prop_oneof![
            Just("1.2.3.4"),
            Just("10.0.0.1"),
            Just("10.9.9.9"),
            Just("127.0.0.1"),
            Just("169.254.169.254"),
            Just("::ffff:10.0.0.1"),
            Just("::1"),
            Just("fd00::1"),
            Just("2600::1"),
            Just("0.0.0.0"),
            Just("64:ff9b::a00:1"),
        ]
        .prop_map(|address| address.parse().unwrap())
    };
    let destination = prop_oneof![
        address().prop_map(Destination::Address),
        (name(), address()).prop_map(|(name, address)| Destination::Named { name, address }),
        Just(Destination::Host),
        Just(Destination::Vm("db".parse().unwrap())),
    ];
    let protocol = prop_oneof![
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Icmp)
    ];
    prop_oneof![
        1 => name().prop_map(Question::Lookup),
        4 => (protocol, destination, prop_oneof![Just(443_u16), Just(22)]).prop_map(|(protocol, destination, port)| Question::Open {
            protocol,
            destination,
            port: if protocol == Protocol::Icmp { 0 } else { port },
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_allowed_after_narrowing_is_what_both_allow(user in any_layer(), repository in any_layer(), question in any_question()) {
        let allows = |policy: &Policy| policy.judge(&question, NOW).is_allowed();
        let (a, b) = (Policy::new(1, user.clone()), Policy::new(1, repository.clone()));
        let both = a.clone().narrowed(repository);
        prop_assert_eq!(allows(&both), allows(&a) && allows(&b));
    }

    #[test]
    fn a_deny_rule_never_allows_more(layer in any_layer(), more in any_rule(), question in any_question()) {
        let before = Policy::new(1, layer);
        let mut after = before.clone();
        after.layers[0].deny.push(Grant::always(more));
        let allows = |policy: &Policy| policy.judge(&question, NOW).is_allowed();
        prop_assert!(!allows(&after) || allows(&before));
    }

    #[test]
    fn outside_of_all_nothing_reaches_the_machines_own_loopback_or_unruled_private_addresses(layer in any_layer(), question in any_question()) {
        let policy = Policy::new(1, layer.clone());
        if layer.egress != Egress::All && policy.judge(&question, NOW).is_allowed()
            && let Question::Open { destination: Destination::Address(address) | Destination::Named { address, .. }, .. } = &question
        {
            let rules = |address: &str| layer.allow.iter().any(|grant| grant.rule.to_string().contains(address));
            match address.to_string().as_str() {
                "127.0.0.1" | "::1" | "0.0.0.0" => prop_assert!(false, "{address}"),
                "169.254.169.254" => prop_assert!(rules("169.254.169.254")),
                "fd00::1" => prop_assert!(rules("fd00::/8")),
                "10.0.0.1" | "10.9.9.9" | "::ffff:10.0.0.1" => prop_assert!(rules("10.0.0.")),
                "64:ff9b::a00:1" => prop_assert!(false),
                _ => {}
            }
        }
    }

    #[test]
    fn a_policy_reads_back_as_it_was_written(layer in any_layer()) {
        let policy = Policy::new(7, layer);
        let text = serde_json::to_vec(&policy).unwrap();
        prop_assert_eq!(Policy::from_json(&text).unwrap(), policy);
    }

    #[test]
    fn no_bytes_stop_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Policy::from_json(&bytes);
    }
}

#[test]
fn another_vm_may_come_unless_a_rule_denies_it() {
    let layer = |origin, deny: &[&str]| Layer {
        origin,
        deny: deny
            .iter()
            .map(|rule| Grant::always(rule.parse().unwrap()))
            .collect(),
        ..Layer::of(Egress::None)
    };
    let policy = Policy::new(1, layer(Origin::User, &["vm:web:22", "vm:old:1-65535"]))
        .narrowed(layer(Origin::Repository, &["any:vm:ci:1-65535"]));
    let denied = |from: &str, port| policy.judge_from(&from.parse().unwrap(), port, 0);
    assert_eq!(denied("web", 5432), None);
    assert_eq!(denied("db", 22), None);
    for (from, port, origin) in [
        ("web", 22, Origin::User),
        ("old", 5432, Origin::User),
        ("ci", 80, Origin::Repository),
    ] {
        assert_eq!(
            denied(from, port).map(|denial| denial.origin),
            Some(origin),
            "{from}"
        );
    }
}

#[test]
fn what_is_granted_by_another_word_than_a_rule_holds_in_every_layer_and_no_layer_is_overruled() {
    let question = Question::Open {
        protocol: Protocol::Tcp,
        destination: Destination::Named {
            name: "api.example".parse().unwrap(),
            address: "1.2.3.4".parse().unwrap(),
        },
        port: 443,
    };
    let rules = ["api.example:443".parse().unwrap()];
    let judged = |policy: Policy| policy.granting(&rules).judge(&question, 1).is_allowed();
    let list = || Layer::of(Egress::List);
    assert!(judged(Policy::new(1, list())));
    assert!(judged(Policy::new(1, list()).narrowed(list())));
    assert!(!judged(Policy::new(1, Layer::of(Egress::None))));
    let denying = Layer {
        deny: vec![Grant::always("api.example".parse().unwrap())],
        ..list()
    };
    assert!(!judged(Policy::new(1, list()).narrowed(denying)));
}
