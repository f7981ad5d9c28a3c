//! One rule: `[protocol:]target[:ports]`.
//!
//! ```text
//! github.com:22,443     a name                    *.packages.example   every name below it, at any depth, not itself
//! 10.1.0.0/16:443       addresses                 [2001:db8::/32]:443  with ports, IPv6 stands in brackets
//! host:5432             the host's own servers    vm:db:5432           a port of another VM
//! @debian               a set of rules            udp:time.example:123 another protocol than TCP
//! ```
//!
//! Without a protocol, an allow rule allows TCP and a deny rule denies every protocol.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Name, RuleError, SetName};

/// Longest rule, bytes: a name of 253 with protocol and ports fits.
const RULE_MAX_BYTES: usize = 400;
/// Most ranges of ports in a rule.
const PORTS_MAX: usize = 16;

/// A protocol of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Echo requests, as of ping(8).
    Icmp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        })
    }
}

/// Ports from `first` to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The first; not 0.
    pub first: u16,
    /// The last, not below the first.
    pub last: u16,
}

/// Ports of a rule; none said is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Ports(Vec<PortRange>);

impl Ports {
    /// Exactly one port.
    #[must_use]
    pub fn one(port: u16) -> Self {
        Self(vec![PortRange {
            first: port,
            last: port,
        }])
    }

    /// Tells whether every port is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether `port` is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.is_all()
            || self
                .0
                .iter()
                .any(|range| (range.first..=range.last).contains(&port))
    }
}

/// Destination of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// One name.
    Name(Name),
    /// Every name below this one, at any depth.
    Below(Name),
    /// Addresses.
    Network(IpNet),
    /// The host itself, by any of its addresses.
    Host,
    /// Another VM, by its name.
    Vm(Name),
    /// The rules of a set.
    Set(SetName),
}

/// A rule. Its text has one form; [`fmt::Display`] writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// Its protocols; `None` where the rule says nothing.
    pub(crate) protocols: Option<Protocols>,
    /// Its destination.
    pub target: Target,
    /// Its ports.
    pub ports: Ports,
}

/// Protocols that a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocols {
    Any,
    One(Protocol),
}

impl Rule {
    /// A rule for one protocol.
    #[must_use]
    pub fn new(protocol: Protocol, target: Target, ports: Ports) -> Self {
        let said = protocol != Protocol::Tcp;
        Self {
            protocols: said.then_some(Protocols::One(protocol)),
            target,
            ports,
        }
    }

    /// Tells whether an allow rule like this one is about `protocol`.
    pub(crate) fn allows(&self, protocol: Protocol) -> bool {
        match self.protocols {
            None => protocol == Protocol::Tcp,
            Some(Protocols::Any) => true,
            Some(Protocols::One(one)) => one == protocol,
        }
    }

    /// Tells whether a deny rule like this one is about `protocol`.
    pub(crate) fn denies(&self, protocol: Protocol) -> bool {
        match self.protocols {
            None | Some(Protocols::Any) => true,
            Some(Protocols::One(one)) => one == protocol,
        }
    }

    /// Tells whether a deny rule like this one leaves nothing of its target.
    pub(crate) fn denies_all(&self) -> bool {
        self.ports.is_all() && matches!(self.protocols, None | Some(Protocols::Any))
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text.len() > RULE_MAX_BYTES {
            return Err(RuleError::TooLong {
                length: text.len(),
                max: RULE_MAX_BYTES,
            });
        }
        if text.is_empty() {
            return Err(RuleError::Empty);
        }
        let text = text.to_ascii_lowercase();
        let (protocols, rest) = protocols(&text)?;
        let (target, ports) = target(rest)?;
        let rule = Self {
            protocols,
            target,
            ports,
        };
        rule.check_form()?;
        Ok(rule)
    }
}

impl Rule {
    fn check_form(&self) -> Result<(), RuleError> {
        let icmp = self.protocols == Some(Protocols::One(Protocol::Icmp));
        let wrong = match &self.target {
            _ if icmp && !self.ports.is_all() => "icmp has no ports: leave them out",
            Target::Set(_) if !self.ports.is_all() || self.protocols.is_some() => {
                "a set has its own protocols and ports: write it alone, as @debian"
            }
            Target::Vm(_) if self.ports.is_all() && !icmp => {
                "a VM is reached at its ports: write vm:NAME:PORT"
            }
            _ => return Ok(()),
        };
        Err(RuleError::Form(wrong))
    }
}

fn protocols(text: &str) -> Result<(Option<Protocols>, &str), RuleError> {
    let Some((word, rest)) = text.split_once(':') else {
        return Ok((None, text));
    };
    let found = match word {
        "tcp" => Protocols::One(Protocol::Tcp),
        "udp" => Protocols::One(Protocol::Udp),
        "icmp" => Protocols::One(Protocol::Icmp),
        "any" => Protocols::Any,
        // A word before a target with ports of its own can only be a protocol that is none; of `vm` two follow too.
        "vm" => return Ok((None, text)),
        word if is_word(word) && rest.contains(':') && rest.parse::<IpAddr>().is_err() => {
            return match text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok() {
                true => Ok((None, text)),
                false => Err(RuleError::Protocol(word.to_owned())),
            };
        }
        _ => return Ok((None, text)),
    };
    // `tcp` is what a rule without a protocol allows; said, it also limits a deny rule.
    Ok((Some(found), rest))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn target(text: &str) -> Result<(Target, Ports), RuleError> {
    if let Some(set) = text.strip_prefix('@') {
        let (name, ports) = split_ports(set)?;
        return Ok((Target::Set(name.parse()?), ports));
    }
    if let Some(vm) = text.strip_prefix("vm:") {
        let (name, ports) = split_ports(vm)?;
        return Ok((Target::Vm(name.parse()?), ports));
    }
    if let Some(bracket) = text.strip_prefix('[') {
        let wrong = |reason| RuleError::Network {
            text: text.to_owned(),
            reason,
        };
        let (inner, after) = bracket
            .split_once(']')
            .ok_or_else(|| wrong("the bracket is not closed"))?;
        let ports = match after.strip_prefix(':') {
            Some(ports) => parse_ports(ports)?,
            None if after.is_empty() => Ports::default(),
            None => return Err(wrong("after the bracket come a colon and ports")),
        };
        return Ok((Target::Network(network(inner)?), ports));
    }
    // IPv6 without ports needs no brackets.
    if text.matches(':').count() > 1 {
        return Ok((Target::Network(network(text)?), Ports::default()));
    }
    let (name, ports) = split_ports(text)?;
    let target = if name == "host" {
        Target::Host
    } else if name == "*" {
        return Err(RuleError::Form(
            "a rule for everything is none: use --egress public, or any:0.0.0.0/0 and any:[::/0]",
        ));
    } else if let Some(parent) = name.strip_prefix("*.") {
        Target::Below(parent.parse()?)
    } else if looks_like_network(name) {
        Target::Network(network(name)?)
    } else {
        of_name(name.parse()?)?
    };
    Ok((target, ports))
}

/// A name; those that are words of rules would be read as these.
fn of_name(name: Name) -> Result<Target, RuleError> {
    match name.as_str() {
        "host" => Ok(Target::Host),
        "tcp" | "udp" | "icmp" | "any" | "vm" => Err(RuleError::Form(
            "tcp, udp, icmp, any and vm are words of rules and no names",
        )),
        _ => Ok(Target::Name(name)),
    }
}

fn looks_like_network(text: &str) -> bool {
    text.contains('/') || text.parse::<IpAddr>().is_ok()
}

/// Reads an address or a network; bits behind the prefix must be zero.
fn network(text: &str) -> Result<IpNet, RuleError> {
    let wrong = |reason| RuleError::Network {
        text: text.chars().take(60).collect(),
        reason,
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(crate::address::unmapped(address)));
    }
    let net: IpNet = text
        .parse()
        .map_err(|_no_network| wrong("write 10.1.0.0/16 or 2001:db8::/32"))?;
    if net.trunc() != net {
        return Err(wrong("its bits behind the prefix are not zero"));
    }
    if let IpNet::V6(v6) = net
        && v6.network().to_ipv4_mapped().is_some()
    {
        return Err(wrong("write an IPv4 network as one"));
    }
    Ok(net)
}

fn split_ports(text: &str) -> Result<(&str, Ports), RuleError> {
    match text.split_once(':') {
        Some((name, ports)) => Ok((name, parse_ports(ports)?)),
        None => Ok((text, Ports::default())),
    }
}

fn parse_ports(text: &str) -> Result<Ports, RuleError> {
    let wrong = || RuleError::Ports {
        text: text.chars().take(40).collect(),
        max: PORTS_MAX,
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let port = digits.then(|| text.parse::<u16>().ok()).flatten();
        port.filter(|port| *port != 0)
    };
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(wrong());
        };
        if first > last || ranges.len() == PORTS_MAX {
            return Err(wrong());
        }
        ranges.push(PortRange { first, last });
    }
    Ok(Ports(ranges))
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match range.first == range.last {
                true => write!(f, "{comma}{}", range.first)?,
                false => write!(f, "{comma}{}-{}", range.first, range.last)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocols {
            None => {}
            Some(Protocols::Any) => f.write_str("any:")?,
            Some(Protocols::One(one)) => write!(f, "{one}:")?,
        }
        match &self.target {
            Target::Name(name) => write!(f, "{name}")?,
            Target::Below(name) => write!(f, "*.{name}")?,
            Target::Network(net) => {
                let is_one = net.prefix_len() == net.max_prefix_len();
                let brackets = matches!(net, IpNet::V6(_)) && !self.ports.is_all();
                let (open, close) = if brackets { ("[", "]") } else { ("", "") };
                match is_one {
                    true => write!(f, "{open}{}{close}", net.addr())?,
                    false => write!(f, "{open}{net}{close}")?,
                }
            }
            Target::Host => f.write_str("host")?,
            Target::Vm(name) => write!(f, "vm:{name}")?,
            Target::Set(name) => write!(f, "@{name}")?,
        }
        match self.ports.is_all() {
            true => Ok(()),
            false => write!(f, ":{}", self.ports),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}
