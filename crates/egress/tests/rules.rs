//! Texts of rules, good and bad.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_egress::Rule;
use proptest::prelude::*;

#[test]
fn rules_have_one_form_that_reads_back_as_the_same_rule() {
    for (text, form) in [
        ("Example.com:22,443", "example.com:22,443"),
        ("*.Packages.example", "*.packages.example"),
        ("10.1.0.0/16:443", "10.1.0.0/16:443"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3/32:80", "10.1.2.3:80"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2600::/32", "2600::/32"),
        ("[2600::1]:443", "[2600::1]:443"),
        ("[2600::/32]", "2600::/32"),
        ("::1", "::1"),
        ("any:::1", "any:::1"),
        ("fe80::1:2", "fe80::1:2"),
        ("a:b::1", "a:b::1"),
        ("host:5432", "host:5432"),
        ("host", "host"),
        ("HOST:5432", "host:5432"),
        ("host.:5432", "host:5432"),
        ("UDP:A.example:53", "udp:a.example:53"),
        ("udp:host:53", "udp:host:53"),
        ("vm:db:5432", "vm:db:5432"),
        ("udp:vm:db:53", "udp:vm:db:53"),
        ("udp:time.example:123", "udp:time.example:123"),
        ("tcp:a.example", "tcp:a.example"),
        ("any:10.0.0.0/8", "any:10.0.0.0/8"),
        ("icmp:a.example", "icmp:a.example"),
        ("a.example:8000-8010,9000", "a.example:8000-8010,9000"),
        ("@debian", "@debian"),
    ] {
        let rule: Rule = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(rule.to_string(), form, "{text}");
        assert_eq!(form.parse::<Rule>().unwrap(), rule, "{text}");
    }
}

#[test]
fn texts_that_are_no_rules_are_refused() {
    for text in [
        "",
        ":",
        ":443",
        "a.example:",
        "a.example:0",
        "a.example:65536",
        "a.example:443-22",
        "a.example:1,,2",
        "a.example:+1",
        "a.example:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
        "sctp:a.example:1",
        "icmp:a.example:1",
        "*",
        "*.",
        "a.*.example",
        "*.*.example",
        "10.0.0.1/8",
        "10.0.0/8",
        "127.1",
        "2130706433",
        "0x7f000001:80",
        "010.0.0.1",
        "::ffff:10.0.0.0/104",
        "[::1",
        "[::1]443",
        "[a.example]:1",
        "vm:db",
        "tcp.",
        "TCP:80",
        "udp.:80",
        "vm:",
        "vm:db:1:2",
        "@",
        "@nothing",
        "@debian:443",
        "udp:@debian",
        "a b",
        "https://a.example",
        "a.example/path",
        "user@a.example",
        &"a".repeat(500),
    ] {
        assert!(text.parse::<Rule>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_and_read_back_the_same(text in "[a-z0-9:./@*,\\[\\]-]{0,40}") {
        if let Ok(rule) = text.parse::<Rule>() {
            prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
        }
    }

    #[test]
    fn no_text_stops_the_parser(text in "\\PC{0,80}") {
        let _ = text.parse::<Rule>();
    }
}
