//! The name server of the guest.
//!
//! ```text
//! addresses are bound to names (list):  refused ─► REFUSED with the rule to add; nothing leaves the host
//!                                       allowed ─► the host finds its addresses ─► the guest gets one of our own
//! otherwise:                            refused, or carried to the host's name server as it is
//! banger.internal, host.banger.internal, NAME.vm, NAME.secret.internal ─► this process
//! ```

use std::net::IpAddr;

use banger_egress::{Name, Question, Verdict};
use domain::base::iana::{Rcode, Rtype};
use mio::Token;

use crate::answer;
use crate::dns::{self, Query, cut, make_query, parse_query, with_id};
use crate::ends::Ends;
use crate::peers;
use crate::process::Net;
use crate::resolver::{Client, Finished};
use crate::secrets;

/// Seconds for which a guest may keep an address of ours.
const TTL_SECONDS: u32 = 60;
/// Those that wait for one name.
const WAITERS_MAX: usize = 64;
/// Names that are being found at once.
const FINDING_MAX: usize = 64;
/// Domain of this process's own names.
const OWN: &str = "banger.internal";
const DNS_PORT: u16 = 53;
/// Refusals on the page.
const PAGE_DENIALS: usize = 100;

/// A name whose addresses the host is looking for.
#[derive(Debug, Default)]
pub(crate) struct Finding {
    v4: Option<Vec<IpAddr>>,
    v6: Option<Vec<IpAddr>>,
    /// No server has answered one of the questions.
    failed: bool,
    /// A server says that there is no such name.
    absent: bool,
    waiters: Vec<Waiter>,
}

/// Those who wait for the addresses of a name.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A question of the guest's.
    Lookup(Client),
    /// A connection.
    Flow(Ends),
    /// A datagram or an echo request, whole.
    Packet(Vec<u8>),
    /// A check of the daemon's.
    Check(Token, banger_net_control::Check),
}

impl Net {
    /// Takes a message for the name server.
    pub(crate) fn lookup(&mut self, message: &[u8], client: impl Fn(Query) -> Client) {
        let query = match parse_query(message) {
            Ok(query) => query,
            Err(Some(answer)) => {
                // The message is no query, but its number is known: whoever asked is told.
                let query = Query::unreadable(message);
                return self.reply(client(query), &answer);
            }
            Err(None) => {
                self.gate.counters.dropped += 1;
                return;
            }
        };
        self.gate.counters.lookups += 1;
        if !self.lookups.take(self.now) {
            self.gate.counters.limited += 1;
            let refused = query.refused("too many lookups: at most 200 a second");
            return self.reply(client(query), &refused);
        }
        if let Some(answer) = self.own_name(&query) {
            return self.reply(client(query), &answer);
        }
        if let Some(answer) = self.name_of_vm(&query) {
            return self.reply(client(query), &answer);
        }
        if let Some(answer) = self.name_of_endpoint(&query) {
            return self.reply(client(query), &answer);
        }
        if let Err(answer) = self.judge_lookup(&query) {
            return self.reply(client(query), &answer);
        }
        let is_bound = self.gate.policy.binds_names();
        match (query.name.clone(), query.rtype) {
            (Some(name), Rtype::A | Rtype::AAAA) if is_bound => {
                self.find(name, Waiter::Lookup(client(query)));
            }
            // They carry addresses, and names of other servers.
            (_, Rtype::HTTPS | Rtype::SVCB | Rtype::ANY) if is_bound => {
                let empty = query.empty(Rcode::NOERROR);
                self.reply(client(query), &empty);
            }
            _ => {
                let bytes = query.bytes.clone();
                let finished = self
                    .resolver
                    .ask(&mut self.io, client(query), &bytes, self.now);
                finished.into_iter().for_each(|one| self.answered(one));
            }
        }
    }

    /// Judges a lookup; the answer when it is refused.
    fn judge_lookup(&mut self, query: &Query) -> Result<(), Vec<u8>> {
        let Some(name) = &query.name else {
            // Not the name of a host, as of services: what no rule can name is not carried where names are bound.
            return match self.gate.policy.binds_names() {
                true => Err(query.refused("only names of hosts are looked up (egress list)")),
                false => Ok(()),
            };
        };
        match self.gate.judge(&Question::Lookup(name.clone())) {
            (Verdict::Allow(_), _) => Ok(()),
            (Verdict::Deny(denial), _) => {
                let words = match &denial.rule_to_add {
                    Some(rule) => format!(
                        "{denial}; to allow it: banger vm net allow {} {rule}",
                        self.config.vm_name
                    ),
                    None => denial.to_string(),
                };
                Err(query.refused(&words))
            }
        }
    }

    fn own_name(&self, query: &Query) -> Option<Vec<u8>> {
        let name = query.name.as_ref()?;
        let own: Name = OWN.parse().ok()?;
        if *name != own && !name.is_below(&own) {
            return None;
        }
        let guest = &self.config.guest;
        let v6 = |pick: fn(&banger_net_control::GuestV6) -> std::net::Ipv6Addr| {
            guest.v6.as_ref().map(|v6| IpAddr::V6(pick(v6)))
        };
        let addresses: Vec<IpAddr> = match name.as_str() {
            OWN => [Some(guest.v4.name_server.into()), v6(|v6| v6.name_server)],
            "host.banger.internal" => [Some(guest.v4.gateway.into()), v6(|v6| v6.gateway)],
            _ => return Some(query.empty(Rcode::NXDOMAIN)),
        }
        .into_iter()
        .flatten()
        .collect();
        Some(query.addresses(&addresses, TTL_SECONDS))
    }

    /// The answer to a name below `vm`: no such name leaves this process.
    fn name_of_vm(&mut self, query: &Query) -> Option<Vec<u8>> {
        let vm = peers::vm_of(query.name.as_ref()?)?;
        let Some(given) = self.address_of_peer(&vm) else {
            return Some(query.empty(Rcode::NXDOMAIN));
        };
        // One is enough, and a guest may have no way for the other yet.
        Some(query.addresses(&[given.v4.into()], TTL_SECONDS))
    }

    /// The answer to a name of endpoints: no such name leaves this process.
    fn name_of_endpoint(&mut self, query: &Query) -> Option<Vec<u8>> {
        let name = query
            .name
            .as_ref()
            .filter(|name| secrets::is_of_endpoints(name))?;
        match self.address_of_endpoint(name) {
            Some(address) => Some(query.addresses(&[address.into()], TTL_SECONDS)),
            None => Some(query.empty(Rcode::NXDOMAIN)),
        }
    }

    /// Lets `waiter` go on when the host has found the addresses of `name`.
    pub(crate) fn find(&mut self, name: Name, waiter: Waiter) {
        if let Some(finding) = self.finding.get_mut(&name) {
            if finding.waiters.len() < WAITERS_MAX {
                finding.waiters.push(waiter);
            } else {
                self.wake(&name, waiter, &Finding::failed());
            }
            return;
        }
        if self.finding.len() >= FINDING_MAX {
            return self.wake(&name, waiter, &Finding::failed());
        }
        let finding = Finding {
            waiters: vec![waiter],
            ..Finding::default()
        };
        self.finding.insert(name.clone(), finding);
        for (v6, rtype) in [(false, Rtype::A), (true, Rtype::AAAA)] {
            let bytes = make_query(&name, rtype);
            let client = Client::Find {
                name: name.clone(),
                v6,
            };
            let finished = self.resolver.ask(&mut self.io, client, &bytes, self.now);
            finished.into_iter().for_each(|one| self.answered(one));
        }
    }

    /// Goes on with a question that a name server of the host's has answered, or none has.
    pub(crate) fn answered(&mut self, finished: Finished) {
        let Finished { client, answer } = finished;
        match &client {
            Client::Find { name, v6 } => self.found(&name.clone(), *v6, answer.map(|(_, one)| one)),
            Client::Datagram { query, .. } | Client::Connection { query, .. } => {
                let bytes = match answer {
                    None => query.empty(Rcode::SERVFAIL),
                    Some((bytes, answer)) => {
                        if let Some(name) = &query.name
                            && !self.gate.policy.binds_names()
                        {
                            self.names.saw(name, &answer.addresses);
                        }
                        with_id(&bytes, query.id())
                    }
                };
                self.reply(client, &bytes);
            }
        }
    }

    fn found(&mut self, name: &Name, v6: bool, answer: Option<dns::Answer>) {
        let Some(finding) = self.finding.get_mut(name) else {
            return;
        };
        finding.failed |= answer.is_none();
        finding.absent |= answer
            .as_ref()
            .is_some_and(|one| one.rcode == Rcode::NXDOMAIN);
        let addresses = answer.map(|one| one.addresses).unwrap_or_default();
        let place = if v6 { &mut finding.v6 } else { &mut finding.v4 };
        *place = Some(addresses);
        if finding.v4.is_none() || finding.v6.is_none() {
            return;
        }
        let Some(mut finding) = self.finding.remove(name) else {
            return;
        };
        self.names.found(name, &finding.addresses(), self.now);
        for waiter in std::mem::take(&mut finding.waiters) {
            self.wake(name, waiter, &finding);
        }
    }

    fn wake(&mut self, name: &Name, waiter: Waiter, finding: &Finding) {
        let addresses = finding.addresses();
        match waiter {
            Waiter::Flow(key) => self.connect_to_name(key, name, &addresses),
            Waiter::Packet(whole) => self.send_to_name(&whole, name, &addresses),
            Waiter::Check(token, check) => self.checked(token, &check, name, &addresses),
            Waiter::Lookup(client) => {
                let (Client::Datagram { query, .. } | Client::Connection { query, .. }) = &client
                else {
                    return;
                };
                let answer = self.own_addresses(name, query, finding, addresses);
                self.reply(client, &answer);
            }
        }
    }

    /// The answer with the addresses that a name has here.
    fn own_addresses(
        &mut self,
        name: &Name,
        query: &Query,
        finding: &Finding,
        addresses: Vec<IpAddr>,
    ) -> Vec<u8> {
        if addresses.is_empty() {
            return query.empty(match (finding.failed, finding.absent) {
                (true, _) => Rcode::SERVFAIL,
                (false, true) => Rcode::NXDOMAIN,
                (false, false) => Rcode::NOERROR,
            });
        }
        let Some(given) = self.names.give(name, addresses, self.now) else {
            self.gate.counters.limited += 1;
            return query.refused("too many names have an address; wait ten minutes");
        };
        let mut own = vec![IpAddr::V4(given.v4)];
        if self.config.guest.v6.is_some() {
            own.push(given.v6.into());
        }
        query.addresses(&own, TTL_SECONDS)
    }

    /// Sends an answer to whoever of the guest's has asked.
    fn reply(&mut self, client: Client, bytes: &[u8]) {
        match client {
            Client::Datagram { query, port, at } => {
                let guest = match at {
                    IpAddr::V4(_) => Some(self.config.guest.v4.address.into()),
                    IpAddr::V6(_) => self.config.guest.v6.map(|v6| v6.address.into()),
                };
                let Some(guest) = guest.filter(|_| !bytes.is_empty()) else {
                    return;
                };
                let shortened;
                let bytes = match bytes.len() > query.max_bytes {
                    true => {
                        shortened = cut(&query);
                        &shortened
                    }
                    false => bytes,
                };
                let packet = answer::udp((at, DNS_PORT), (guest, port), bytes);
                self.link.send(&packet);
            }
            Client::Connection { key, .. } => self.answer_local(key, bytes),
            Client::Find { .. } => {}
        }
    }

    /// Forgets names that were not used for long, but for those of connections.
    pub(crate) fn sweep_names(&mut self) {
        let flows = &self.flows;
        let pairs = &self.pairs;
        let is_needed = |name: &Name| {
            flows.values().any(|flow| flow.name() == Some(name))
                || pairs.values().any(|pair| names(&pair.question, name))
        };
        self.names.expire(self.now, is_needed);
    }

    /// A page of `http://banger.internal`.
    pub(crate) fn page(&self, path: &str) -> Vec<u8> {
        let (status, body) = match path {
            "/denied" => {
                let last = self.gate.denials(0).rev().take(PAGE_DENIALS);
                let list: Vec<serde_json::Value> = last
                    .map(|record| {
                        serde_json::json!({
                            "at_ms": record.at_ms,
                            "words": record.words(),
                            "event": record.event,
                        })
                    })
                    .collect();
                let body = serde_json::json!({ "denied": list });
                ("200 OK", body)
            }
            _ => {
                let body = serde_json::json!({ "error": "there is http://banger.internal/denied" });
                ("404 Not Found", body)
            }
        };
        let body = format!("{body:#}\n");
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        (head + &body).into_bytes()
    }
}

fn names(question: &Question, name: &Name) -> bool {
    use banger_egress::Destination::Named;
    matches!(question, Question::Open { destination: Named { name: one, .. }, .. } if one == name)
}

impl Finding {
    fn failed() -> Self {
        Self {
            failed: true,
            ..Self::default()
        }
    }

    /// IPv4 first: the host's IPv6 may lead nowhere.
    fn addresses(&self) -> Vec<IpAddr> {
        let both = [&self.v4, &self.v6].into_iter().flatten().flatten();
        both.copied().collect()
    }
}
