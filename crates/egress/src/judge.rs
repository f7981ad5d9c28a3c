//! The judgement: a pure function of policy, question and time.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{carried, class, unmapped};
use crate::verdict::rule_to_add;
use crate::{
    AddressClass, Denial, Destination, Egress, Grant, Grounds, Layer, Name, Policy, Protocol,
    Question, Reason, Rule, Target, Verdict,
};

impl Policy {
    /// Answers a question at `now`, seconds since 1970. Every layer must allow; the first that does not, answers.
    #[must_use]
    pub fn judge(&self, question: &Question, now: u64) -> Verdict {
        let mut grounds = None;
        for layer in &self.layers {
            match layer.judge(question, now) {
                Ok(found) => grounds = grounds.or(Some(found)),
                Err(reason) => {
                    return Verdict::Deny(Denial {
                        origin: layer.origin,
                        rule_to_add: rule_to_add(question, &reason),
                        reason,
                    });
                }
            }
        }
        match grounds {
            Some(grounds) => Verdict::Allow(grounds),
            None => Verdict::Deny(Denial {
                origin: crate::Origin::User,
                reason: Reason::Closed,
                rule_to_add: None,
            }),
        }
    }

    /// The refusal of a connection from another VM to a port of this one; `None`: it may come. That both are in one network is
    /// this VM's consent, so only a rule that denies `from` is asked for: it holds in both directions.
    #[must_use]
    pub fn judge_from(&self, from: &Name, port: u16, now: u64) -> Option<Denial> {
        let question = Question::Open {
            protocol: Protocol::Tcp,
            destination: Destination::Vm(from.clone()),
            port,
        };
        self.layers.iter().find_map(|layer| {
            let denies = |rule: &Rule| matches_deny(rule, &question);
            let (_, rule) = layer.first(&layer.deny, |grant| grant.counts(now), denies)?;
            Some(Denial {
                origin: layer.origin,
                reason: Reason::Denied(rule.clone()),
                rule_to_add: None,
            })
        })
    }
}

impl Layer {
    fn judge(&self, question: &Question, now: u64) -> Result<Grounds, Reason> {
        if self.egress == Egress::None {
            return Err(Reason::Closed);
        }
        let denies = |rule: &Rule| matches_deny(rule, question);
        if let Some((_, rule)) = self.first(&self.deny, |grant| grant.counts(now), denies) {
            return Err(Reason::Denied(rule.clone()));
        }
        let allows = |rule: &Rule| matches_allow(rule, question);
        let live = self.first(&self.allow, |grant| grant.counts(now), allows);
        match self.by_egress(question, live.map(|(_, rule)| rule), now) {
            // The rule that is over tells more than that there is none.
            Err(Reason::NotListed | Reason::AddressWithoutName | Reason::Host)
                if let Some((grant, _)) =
                    self.first(&self.allow, |grant| !grant.counts(now), allows) =>
            {
                Err(Reason::Expired(grant.clone()))
            }
            answer => answer,
        }
    }

    fn by_egress(
        &self,
        question: &Question,
        rule: Option<&Rule>,
        now: u64,
    ) -> Result<Grounds, Reason> {
        if self.egress == Egress::All {
            return Ok(Grounds::Egress(Egress::All));
        }
        let by_rule = rule.map(|rule| Grounds::Rule(rule.clone()));
        let destination = match question {
            Question::Lookup(_) if self.egress == Egress::Public => {
                return Ok(Grounds::Egress(Egress::Public));
            }
            Question::Lookup(_) => return by_rule.ok_or(Reason::NotListed),
            Question::Open { destination, .. } => destination,
        };
        let address = match destination {
            Destination::Host => return by_rule.ok_or(Reason::Host),
            Destination::Vm(_) => return by_rule.ok_or(Reason::Vm),
            Destination::Address(address) | Destination::Named { address, .. } => *address,
        };
        match class(address) {
            AddressClass::Public => match self.egress {
                Egress::Public => Ok(Grounds::Egress(Egress::Public)),
                _ => by_rule.ok_or(match destination {
                    Destination::Address(_) => Reason::AddressWithoutName,
                    _ => Reason::NotListed,
                }),
            },
            // A name may lead anywhere, and its owner chooses where. So such an address needs a rule of its own.
            other => match (self.opened(question, address, now), destination) {
                (Some(rule), _) => Ok(Grounds::Rule(rule.clone())),
                (None, Destination::Named { .. }) if self.egress == Egress::List => match rule {
                    Some(_) => Err(Reason::NotPublic(other)),
                    None => Err(Reason::NotListed),
                },
                (None, Destination::Address(_)) if self.egress == Egress::List => {
                    Err(Reason::AddressWithoutName)
                }
                (None, _) => Err(Reason::NotPublic(other)),
            },
        }
    }

    /// The live allow rule for addresses that opens `address`, which is not public. A network opens it when the whole of
    /// it is of that class: 0.0.0.0/0 is the internet, not the metadata service.
    fn opened(&self, question: &Question, address: IpAddr, now: u64) -> Option<&Rule> {
        let of_class = class(address);
        if !of_class.opens_by_rule() {
            return None;
        }
        let opens = |rule: &Rule| {
            let Target::Network(net) = &rule.target else {
                return false;
            };
            let ends = [net.network(), net.broadcast()].map(class);
            ends == [of_class; 2] && matches_allow(rule, question)
        };
        let found = self.first(&self.allow, |grant| grant.counts(now), opens);
        found.map(|(_, rule)| rule)
    }

    /// The first of `grants` that is wanted and, itself or by a rule of its set, matches.
    fn first<'a>(
        &'a self,
        grants: &'a [Grant],
        wanted: impl Fn(&Grant) -> bool,
        matches: impl Fn(&Rule) -> bool,
    ) -> Option<(&'a Grant, &'a Rule)> {
        grants
            .iter()
            .filter(|grant| wanted(grant))
            .find_map(|grant| {
                let rules: &[Rule] = match &grant.rule.target {
                    Target::Set(set) => self.sets.get(set).map_or(&[], Vec::as_slice),
                    _ => std::slice::from_ref(&grant.rule),
                };
                let rule = rules.iter().find(|rule| matches(rule))?;
                Some((grant, rule))
            })
    }
}

fn matches_allow(rule: &Rule, question: &Question) -> bool {
    match question {
        // Any port and protocol: the connection is judged by itself.
        Question::Lookup(name) => target_has_name(&rule.target, name),
        Question::Open {
            protocol,
            destination,
            port,
        } => {
            rule.allows(*protocol)
                && has_port(rule, *protocol, *port)
                && target_has(&rule.target, destination, in_network)
        }
    }
}

fn matches_deny(rule: &Rule, question: &Question) -> bool {
    match question {
        Question::Lookup(name) => rule.denies_all() && target_has_name(&rule.target, name),
        Question::Open {
            protocol,
            destination,
            port,
        } => {
            rule.denies(*protocol)
                && has_port(rule, *protocol, *port)
                && target_has(&rule.target, destination, in_network_by_any_form)
        }
    }
}

fn has_port(rule: &Rule, protocol: Protocol, port: u16) -> bool {
    match protocol {
        Protocol::Icmp => rule.ports.is_all(),
        Protocol::Tcp | Protocol::Udp => rule.ports.contains(port),
    }
}

fn target_has_name(target: &Target, name: &Name) -> bool {
    match target {
        Target::Name(one) => one == name,
        Target::Below(parent) => name.is_below(parent),
        Target::Network(_) | Target::Host | Target::Vm(_) | Target::Set(_) => false,
    }
}

fn target_has(
    target: &Target,
    destination: &Destination,
    in_network: fn(&IpNet, IpAddr) -> bool,
) -> bool {
    let has_address =
        |address: IpAddr| matches!(target, Target::Network(net) if in_network(net, address));
    match destination {
        Destination::Named { name, address } => {
            target_has_name(target, name) || has_address(*address)
        }
        Destination::Address(address) => has_address(*address),
        Destination::Host => matches!(target, Target::Host),
        Destination::Vm(name) => matches!(target, Target::Vm(one) if one == name),
    }
}

fn in_network(net: &IpNet, address: IpAddr) -> bool {
    net.contains(&unmapped(address))
}

/// Also by the IPv4 address that an IPv6 one carries: a translator on the way would lead there.
fn in_network_by_any_form(net: &IpNet, address: IpAddr) -> bool {
    in_network(net, address) || carried(address).is_some_and(|v4| net.contains(&IpAddr::V4(v4)))
}
