//! Rules and policies of users, repositories and older builds, and every answer to them.
#![no_main]
use banger_egress::{Destination, Enforcer, Policy, Protocol, Question, Rule};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for line in text.lines().take(64) {
            if let Ok(rule) = line.parse::<Rule>() {
                assert_eq!(rule.to_string().parse::<Rule>().as_ref(), Ok(&rule));
            }
        }
    }
    if let Ok(policy) = Policy::from_json(bytes) {
        let _ = policy.check(Enforcer::Process);
        let _ = policy.check(Enforcer::Slirp);
        for destination in [
            Destination::Host,
            Destination::Address([127, 0, 0, 1].into()),
            Destination::Address([10, 0, 0, 1].into()),
        ] {
            let question = Question::Open {
                protocol: Protocol::Tcp,
                destination,
                port: 443,
            };
            let _ = policy.judge(&question, 1);
        }
    }
});
