//! Answers of a policy, with their reasons as types.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AddressClass, Destination, Egress, Grant, Origin, Ports, Question, Rule, Target};

/// Answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Allowed. The grounds are those of the user's layer.
    Allow(Grounds),
    /// Refused.
    Deny(Denial),
}

impl Verdict {
    /// Tells whether it is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Grounds on which something is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grounds {
    /// The layer's egress needs no rule for it.
    Egress(Egress),
    /// A rule allows it.
    Rule(Rule),
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Side that refuses.
    pub origin: Origin,
    /// Its reason.
    pub reason: Reason,
    /// Rule that would allow it, where one can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_to_add: Option<Rule>,
}

/// Reason of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing is allowed at all.
    Closed,
    /// A deny rule.
    Denied(Rule),
    /// No rule allows it.
    NotListed,
    /// A rule allowed it until its time was over.
    Expired(Grant),
    /// In `list`, addresses are reached by the names of rules, or by rules for addresses.
    AddressWithoutName,
    /// The address is not one of the internet.
    NotPublic(AddressClass),
    /// The host's own servers need a rule.
    Host,
    /// Other VMs need a rule.
    Vm,
    /// The connection's first bytes name another host than the one whose address was connected to.
    OtherHost,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin == Origin::Repository {
            f.write_str("the repository's policy: ")?;
        }
        match &self.reason {
            Reason::Closed => f.write_str("the VM may reach nothing (egress none)"),
            Reason::Denied(rule) => write!(f, "rule \"{rule}\" denies it"),
            Reason::NotListed => f.write_str("no rule allows it"),
            Reason::Expired(grant) => {
                write!(
                    f,
                    "rule \"{}\" allowed it until its time was over",
                    grant.rule
                )
            }
            Reason::AddressWithoutName => {
                f.write_str("no rule allows this address, and no allowed name led to it")
            }
            Reason::NotPublic(class) => write!(f, "it is {}", class.words()),
            Reason::Host => f.write_str("the host's own servers are reached by a rule alone"),
            Reason::Vm => f.write_str("other VMs are reached by a rule alone"),
            Reason::OtherHost => {
                f.write_str("TLS or HTTP in it names another host than the one that was looked up")
            }
        }
    }
}

/// The narrowest rule that would allow what `question` asks for; `None` where no rule can.
pub(crate) fn rule_to_add(question: &Question, reason: &Reason) -> Option<Rule> {
    let (protocol, destination, port) = match question {
        Question::Lookup(name) => {
            let target = Target::Name(name.clone());
            return may_help(reason)
                .then(|| Rule::new(crate::Protocol::Tcp, target, Ports::default()));
        }
        Question::Open {
            protocol,
            destination,
            port,
        } => (*protocol, destination, *port),
    };
    let target = match (destination, reason) {
        (Destination::Host, _) => Target::Host,
        (Destination::Vm(name), _) => Target::Vm(name.clone()),
        (
            Destination::Named { address, .. } | Destination::Address(address),
            Reason::NotPublic(class),
        ) => {
            if !class.opens_by_rule() {
                return None;
            }
            Target::Network(crate::address::unmapped(*address).into())
        }
        (Destination::Named { name, .. }, _) => Target::Name(name.clone()),
        (Destination::Address(address), _) => {
            if !crate::address::class(*address).opens_by_rule() {
                return None;
            }
            Target::Network(crate::address::unmapped(*address).into())
        }
    };
    let ports = match port {
        0 => Ports::default(),
        port => Ports::one(port),
    };
    may_help(reason).then(|| Rule::new(protocol, target, ports))
}

fn may_help(reason: &Reason) -> bool {
    !matches!(
        reason,
        Reason::Closed | Reason::Denied(_) | Reason::OtherHost
    )
}

impl AddressClass {
    /// Tells whether a rule can open addresses of this class. The guest's own loopback is never on the wire, and nothing
    /// is forwarded to many machines.
    pub(crate) fn opens_by_rule(self) -> bool {
        !matches!(self, Self::Loopback | Self::Multicast | Self::Unspecified)
    }
}
