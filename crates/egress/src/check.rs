//! Rules that an enforcer could not hold to: refused when they are set, not forgotten when they are needed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::class;
use crate::{AddressClass, Egress, Layer, Policy, Protocol, Rule, Target};

/// Enforcer of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcer {
    /// The network process of the VM.
    Process,
    /// The user network of QEMU itself: everything or nothing.
    Slirp,
}

/// A part of a policy that cannot be enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unenforceable {
    /// The rule; `None` when it is the egress itself.
    pub rule: Option<Rule>,
    /// The cause.
    pub cause: Cause,
}

/// Cause for which a part of a policy cannot be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// QEMU's own user network knows everything or nothing.
    NeedsProcess,
    /// An allow rule beside `none`.
    AllowInNone,
    /// A name is denied where addresses need no name.
    NameDenied,
    /// A name is allowed where every public name is, and no name opens another address.
    NameInPublic,
    /// Loopback addresses are the guest's own.
    Loopback,
    /// Nothing is forwarded to many machines, or to no address.
    NoMachine,
    /// The set has not been read.
    SetNotRead,
    /// VMs reach one another by TCP alone.
    Vm,
}

impl Cause {
    /// The way out, as an imperative.
    #[must_use]
    pub fn way(self) -> &'static str {
        match self {
            Self::NeedsProcess => {
                "use QEMU 7.2 or newer, or choose --egress all or none without rules"
            }
            Self::AllowInNone => "choose --egress list to allow the destinations of rules alone",
            Self::NameDenied => {
                "choose --egress list, in which every address belongs to a name, or deny the addresses"
            }
            Self::NameInPublic => {
                "leave it out; for a name that leads to a private address, allow that address, as 10.1.2.3:443"
            }
            Self::Loopback => "write host:PORT for the host's own servers",
            Self::NoMachine => "name the addresses of machines",
            Self::SetNotRead => "set the rule again, so that the host's configuration is read",
            Self::Vm => "write vm:NAME:PORT, which is for TCP",
        }
    }
}

impl fmt::Display for Unenforceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "rule \"{rule}\" cannot be enforced: ")?,
            None => f.write_str("the egress cannot be enforced: ")?,
        }
        f.write_str(match self.cause {
            Cause::NeedsProcess => "this QEMU's network knows only everything or nothing",
            Cause::AllowInNone => "egress none allows nothing",
            Cause::NameDenied => "a guest that knows the address needs no name",
            Cause::NameInPublic => {
                "egress public reaches every public name, and a name opens no other address"
            }
            Cause::Loopback => "a loopback address is the guest's own",
            Cause::NoMachine => "no single machine is behind it",
            Cause::SetNotRead => "its set has not been read",
            Cause::Vm => "VMs reach one another by TCP alone",
        })
    }
}

impl Policy {
    /// Everything in this policy that `enforcer` cannot hold to; none when all of it is good.
    #[must_use]
    pub fn check(&self, enforcer: Enforcer) -> Vec<Unenforceable> {
        let mut found = Vec::new();
        for layer in &self.layers {
            match enforcer {
                Enforcer::Slirp => found.extend(layer.check_slirp()),
                Enforcer::Process => layer.check_process(&mut found),
            }
        }
        found
    }
}

impl Layer {
    fn check_slirp(&self) -> Option<Unenforceable> {
        let cause = Cause::NeedsProcess;
        if !matches!(self.egress, Egress::All | Egress::None) {
            return Some(Unenforceable { rule: None, cause });
        }
        let first = self.allow.iter().chain(&self.deny).next()?;
        let rule = Some(first.rule.clone());
        Some(Unenforceable { rule, cause })
    }

    fn check_process(&self, found: &mut Vec<Unenforceable>) {
        let sides = [(&self.allow, false), (&self.deny, true)];
        for (grants, is_deny) in sides {
            for grant in grants {
                if let Some(cause) = self.cause_against(&grant.rule, is_deny) {
                    let rule = Some(grant.rule.clone());
                    found.push(Unenforceable { rule, cause });
                }
            }
        }
    }

    fn cause_against(&self, rule: &Rule, is_deny: bool) -> Option<Cause> {
        if self.egress == Egress::None && !is_deny {
            return Some(Cause::AllowInNone);
        }
        match &rule.target {
            Target::Name(_) | Target::Below(_) => self.cause_against_name(is_deny),
            Target::Set(set) => match self.sets.get(set) {
                Some(rules) if !rules.is_empty() => self.cause_against_name(is_deny),
                _ => Some(Cause::SetNotRead),
            },
            Target::Network(net) => match [net.network(), net.broadcast()].map(class) {
                [AddressClass::Loopback, AddressClass::Loopback] => Some(Cause::Loopback),
                [first, last] if first == last && !first.opens_by_rule() => Some(Cause::NoMachine),
                _ => None,
            },
            Target::Host => None,
            Target::Vm(_) => {
                let others = [Protocol::Udp, Protocol::Icmp];
                let is_other = others.into_iter().any(|protocol| rule.allows(protocol));
                (!is_deny && is_other).then_some(Cause::Vm)
            }
        }
    }

    fn cause_against_name(&self, is_deny: bool) -> Option<Cause> {
        match (self.egress, is_deny) {
            (Egress::List | Egress::None, _) | (Egress::All, false) => None,
            (Egress::Public | Egress::All, true) => Some(Cause::NameDenied),
            (Egress::Public, false) => Some(Cause::NameInPublic),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Grant, SetName};

    fn causes(egress: Egress, allow: &[&str], deny: &[&str], enforcer: Enforcer) -> Vec<Cause> {
        let grants = |rules: &[&str]| {
            let grant = |rule: &&str| Grant::always(rule.parse().unwrap());
            rules.iter().map(grant).collect()
        };
        let mut layer = Layer {
            allow: grants(allow),
            deny: grants(deny),
            ..Layer::of(egress)
        };
        layer
            .sets
            .insert(SetName::Github, vec!["github.example:443".parse().unwrap()]);
        let found = Policy::new(1, layer).check(enforcer);
        assert!(
            found
                .iter()
                .all(|one| !one.to_string().is_empty() && !one.cause.way().is_empty())
        );
        found.into_iter().map(|one| one.cause).collect()
    }

    #[test]
    fn what_the_process_cannot_hold_to_is_refused_with_its_cause() {
        use Egress::{All, List, None, Public};
        for (egress, allow, deny, wanted) in [
            (
                List,
                &[
                    "a.example",
                    "*.b.example:22",
                    "host:1",
                    "10.0.0.0/8",
                    "@github",
                ][..],
                &["c.example"][..],
                &[][..],
            ),
            (
                Public,
                &["10.0.0.0/8", "host:1", "169.254.169.254:80"],
                &["10.1.0.0/16", "host:22"],
                &[],
            ),
            (All, &["a.example"], &["10.0.0.0/8"], &[]),
            (Public, &["a.example"], &[], &[Cause::NameInPublic]),
            (Public, &["@github"], &[], &[Cause::NameInPublic]),
            (Public, &[], &["a.example"], &[Cause::NameDenied]),
            (All, &[], &["*.a.example"], &[Cause::NameDenied]),
            (None, &["a.example"], &[], &[Cause::AllowInNone]),
            (
                List,
                &["127.0.0.1:80", "::1", "224.0.0.1", "0.0.0.0"],
                &[],
                &[
                    Cause::Loopback,
                    Cause::Loopback,
                    Cause::NoMachine,
                    Cause::NoMachine,
                ],
            ),
            (List, &["0.0.0.0/0", "::/0"], &[], &[]),
            (List, &["@npm"], &[], &[Cause::SetNotRead]),
            (List, &["vm:db:5432"], &["vm:web:22"], &[]),
            (Public, &["udp:vm:db:53"], &[], &[Cause::Vm]),
        ] {
            let found = causes(egress, allow, deny, Enforcer::Process);
            assert_eq!(found, wanted, "{egress} {allow:?} {deny:?}");
        }
    }

    #[test]
    fn qemu_alone_holds_to_everything_or_nothing() {
        use Egress::{All, List, None, Public};
        assert_eq!(causes(All, &[], &[], Enforcer::Slirp), []);
        assert_eq!(causes(None, &[], &[], Enforcer::Slirp), []);
        for (egress, allow) in [(Public, &[][..]), (List, &[]), (All, &["host:1"])] {
            assert_eq!(
                causes(egress, allow, &[], Enforcer::Slirp),
                [Cause::NeedsProcess]
            );
        }
    }
}
