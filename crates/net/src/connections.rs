//! Connections of TCP: how they begin, have their turn, and end.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use banger_egress::{Denial, Name, Origin, Protocol, Question, Reason};
use mio::Token;
use smoltcp::wire::TcpPacket;

use crate::answer::{self, Refusal};
use crate::audit_log::now_ms;
use crate::ends::Ends;
use crate::flow::{Backend, Flow, Stage, Turn};
use crate::host;
use crate::io::Owner;
use crate::limits::{
    self, CONNECT_NEXT_AFTER, CONNECT_WITHIN, FLOWS_MAX, HALF_OPEN_MAX, PROXY_WITHIN,
};
use crate::lookups::Waiter;
use crate::packet::{self, Packet};
use crate::places::{Gated, Place};
use crate::process::Net;
use crate::proxy::{self, Asking, Said};

/// Ports at which the first bytes of a connection to a name are looked at.
const LOOKED_AT: [u16; 2] = [80, 443];
/// Beginning of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It goes on by itself.
    Goes,
    /// It is reset.
    Refused,
    /// Nothing answers it; the guest's kernel asks again.
    Dropped,
}

/// Token of a flow that has no socket.
pub(crate) const NO_TOKEN: Token = Token(usize::MAX >> 1);

impl Net {
    /// Takes a segment of the guest's.
    pub(crate) fn segment(&mut self, packet: &Packet<'_>) {
        let Ok(segment) = TcpPacket::new_checked(packet.payload) else {
            self.gate.counters.dropped += 1;
            return;
        };
        let key = Ends::of(packet, segment.src_port(), segment.dst_port());
        let now = self.tcp_now();
        if let Some(flow) = self.flows.get_mut(&key) {
            match (&mut flow.guest, segment.rst()) {
                (Some(guest), _) => guest.receive(packet.whole, &mut self.link, now),
                // The guest does not want it any more.
                (None, true) => {
                    self.close(&key, false);
                    return;
                }
                // Its SYN again.
                (None, false) => return,
            }
            self.dirty.insert(key);
            return;
        }
        let is_first = segment.syn() && !segment.ack() && !segment.rst();
        let has_ports = key.guest.1 != 0 && key.remote.1 != 0;
        match is_first && has_ports && !crate::ingress::is_to_many(packet.destination) {
            true => self.begin(key, packet),
            false => self.reset(packet),
        }
    }

    fn reset(&mut self, packet: &Packet<'_>) {
        if let Some(reset) = answer::reset(packet) {
            self.link.send(&reset);
        }
    }

    fn begin(&mut self, key: Ends, packet: &Packet<'_>) {
        if self.flows.len() >= FLOWS_MAX {
            self.gate.counters.limited += 1;
            self.reset(packet);
            return;
        }
        if let Some(service) = self.service(key.remote) {
            match service {
                Some(service) => self.begin_local(key, packet, service),
                None => self.reset(packet),
            }
            return;
        }
        if self.half_open >= HALF_OPEN_MAX || !self.failures.is_left(self.now) {
            // Its kernel asks again.
            self.gate.counters.limited += 1;
            return;
        }
        let mut flow = Flow::new(NO_TOKEN, None, limits::buffers(self.held_bytes));
        flow.syn = packet.whole.to_vec();
        let (address, port) = key.remote;
        match self.place(Protocol::Tcp, address, port) {
            Place::At(candidates) => {
                self.insert(key, flow);
                self.connect(key, candidates);
            }
            Place::Peer(vm) => {
                self.insert(key, flow);
                self.connect_to_peer(key, &vm);
            }
            Place::Secret(secret) => {
                if self.begin_endpoint(key, flow, &secret) == Begun::Refused {
                    self.reset(packet);
                }
            }
            Place::Named(name, found) => {
                self.insert(key, flow);
                match found {
                    Some(found) => self.connect_to_name(key, &name, &found),
                    None => self.find(name, Waiter::Flow(key)),
                }
            }
        }
    }

    pub(crate) fn insert(&mut self, key: Ends, flow: Flow) {
        self.half_open += 1;
        self.flows.insert(key, Box::new(flow));
    }

    /// Goes on with a connection whose name the host has found.
    pub(crate) fn connect_to_name(&mut self, key: Ends, name: &Name, found: &[IpAddr]) {
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        let mut port = key.remote.1;
        match &flow.secret {
            Some(secret) => match self.secrets.use_of(secret) {
                Some(one) if one.host == *name => port = one.port,
                // It leads elsewhere by now.
                _ => return self.fail(&key, &ErrorKind::ConnectionRefused.into()),
            },
            None if LOOKED_AT.contains(&port) => flow.expects = Some(name.clone()),
            None => {}
        }
        let candidates = self.candidates(Protocol::Tcp, name, found, port);
        self.connect(key, candidates);
    }

    pub(crate) fn connect(&mut self, key: Ends, candidates: Vec<(Question, SocketAddr)>) {
        let flow = self.flows.get(&key);
        let of_endpoint = flow.is_some_and(|flow| flow.secret.is_some());
        match self.gate(candidates, of_endpoint) {
            Gated::Allowed(allowed, seq) => {
                let (allowed, asking) = self.through_proxy(allowed);
                if let Some(flow) = self.flows.get_mut(&key) {
                    flow.opened = seq;
                    flow.asking = asking;
                    flow.stage = Stage::Connecting {
                        rest: VecDeque::from(allowed),
                        until: self.now,
                    };
                }
                self.connect_next(key, ErrorKind::NotFound.into());
            }
            Gated::Denied => self.fail(&key, &ErrorKind::ConnectionRefused.into()),
            // The name has no address.
            Gated::Nowhere => self.fail(&key, &ErrorKind::HostUnreachable.into()),
        }
    }

    /// The way to what is allowed: the proxy's addresses in the place of its own, where it is behind one.
    fn through_proxy(
        &self,
        allowed: Vec<(Question, SocketAddr)>,
    ) -> (Vec<(Question, SocketAddr)>, Option<Asking>) {
        let first = allowed.first().map(|(question, _)| question);
        let through = first.and_then(|question| {
            let addresses = proxy::leads(self.config.proxy.as_ref(), question)?;
            let asking = Asking::of(question)?;
            let at = addresses.iter().map(|at| (question.clone(), *at));
            Some((at.collect(), Some(asking)))
        });
        through.unwrap_or((allowed, None))
    }

    /// Connects to the next address. `error` is the last one's, and the guest's answer when there is no other.
    fn connect_next(&mut self, key: Ends, mut error: io::Error) {
        loop {
            let Some(flow) = self.flows.get_mut(&key) else {
                return;
            };
            self.io.forget(flow.token);
            flow.backend = Backend::None;
            flow.connected = false;
            let Stage::Connecting { rest, until } = &mut flow.stage else {
                return;
            };
            self.connecting.remove(&(*until, key));
            let Some((question, address)) = rest.pop_front() else {
                // A refusal of the policy is none: it costs the host's network nothing.
                self.failures.take(self.now);
                self.fail(&key, &error);
                return;
            };
            let patience = match rest.is_empty() {
                true => CONNECT_WITHIN,
                false => CONNECT_NEXT_AFTER,
            };
            *until = self.now + patience;
            match host::tcp(address) {
                Ok(mut stream) => {
                    let token = self.io.token(Owner::Flow(key));
                    match self.io.watch(&mut stream, token) {
                        Ok(()) => {
                            flow.token = token;
                            flow.question = Some(question);
                            flow.backend = Backend::Stream(stream);
                            self.connecting.insert((*until, key));
                            return;
                        }
                        Err(failed) => {
                            self.io.forget(token);
                            error = failed;
                        }
                    }
                }
                Err(failed) => error = failed,
            }
        }
    }

    /// Ends a connection that the host did not make, with the answer that fits.
    pub(crate) fn fail(&mut self, key: &Ends, error: &io::Error) {
        let Some(flow) = self.flows.get(key) else {
            return;
        };
        let syn = flow.syn.clone();
        self.close(key, false);
        let parsed = match key.guest.0 {
            IpAddr::V4(_) => packet::ipv4(&syn),
            IpAddr::V6(_) => packet::ipv6(&syn),
        };
        let Ok(packet) = parsed else {
            return;
        };
        match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => self.reset(&packet),
            ErrorKind::PermissionDenied => self.refuse(&packet, Refusal::Prohibited),
            _ => self.refuse(&packet, Refusal::Host),
        }
    }

    /// The next time at which a connect has taken too long.
    pub(crate) fn connect_due(&self) -> Option<Instant> {
        self.connecting.first().map(|(until, _)| *until)
    }

    /// Lets connects that have taken too long go to the next address, or end.
    pub(crate) fn connects_due(&mut self) {
        while let Some((until, key)) = self.connecting.first().copied()
            && until <= self.now
        {
            self.connecting.pop_first();
            self.connect_next(key, ErrorKind::TimedOut.into());
        }
    }

    /// A socket of the host has something.
    pub(crate) fn host_ready(&mut self, key: Ends) {
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        let Stage::Connecting { until, .. } = &mut flow.stage else {
            flow.readable = true;
            self.dirty.insert(key);
            return;
        };
        if let Backend::Peer(stream) = &mut flow.backend {
            match stream.is_taken() {
                None => {}
                Some(Ok(())) => self.open(key),
                Some(Err(error)) => self.fail(&key, &error),
            }
            return;
        }
        let Backend::Stream(stream) = &mut flow.backend else {
            return;
        };
        if !flow.connected {
            match host::connected(stream) {
                None => return,
                Some(Err(error)) => return self.connect_next(key, error),
                Some(Ok(())) => flow.connected = true,
            }
            if flow.asking.is_some() {
                // It has to reach somebody else yet.
                self.connecting.remove(&(*until, key));
                *until = self.now + PROXY_WITHIN;
                self.connecting.insert((*until, key));
            }
        }
        match flow.asking.as_mut().map(|asking| asking.go_on(stream)) {
            None | Some(Said::Yes) => self.open(key),
            Some(Said::Nothing) => {}
            // Another address of the proxy would say the same.
            Some(Said::No(error)) => {
                self.failures.take(self.now);
                self.fail(&key, &error);
            }
        }
    }

    /// Answers the guest's SYN, or dials to it.
    pub(crate) fn open(&mut self, key: Ends) {
        let now = self.tcp_now();
        let mtu = self.config.guest.mtu.into();
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        let waited = flow.waits_until();
        if let Some(secret) = &flow.secret
            && let Backend::Stream(_) = &flow.backend
        {
            let Backend::Stream(stream) = std::mem::replace(&mut flow.backend, Backend::None)
            else {
                return;
            };
            match self.secrets.endpoint(secret, stream) {
                Some(endpoint) => flow.backend = Backend::Endpoint(Box::new(endpoint)),
                None => return self.fail(&key, &ErrorKind::ConnectionRefused.into()),
            }
        }
        if !flow.open(&key, mtu, &mut self.link, now) {
            self.close(&key, false);
            return;
        }
        if let Some(until) = waited {
            self.connecting.remove(&(until, key));
        }
        self.half_open = self.half_open.saturating_sub(1);
        self.held_bytes += flow.held();
        self.gate.counters.opened += 1;
        self.dirty.insert(key);
    }

    /// Gives every connection that may move something its turn.
    pub(crate) fn turns(&mut self) {
        let now = self.tcp_now();
        for key in std::mem::take(&mut self.dirty) {
            let Some(flow) = self.flows.get_mut(&key) else {
                continue;
            };
            let before = flow.due;
            let turn = flow.turn(&mut self.link, now);
            if before != flow.due {
                before.map(|due| self.due.remove(&(due, key)));
                flow.due.map(|due| self.due.insert((due, key)));
            }
            if flow.has_more {
                self.dirty.insert(key);
            }
            let is_local = matches!(flow.backend, Backend::Local(_));
            if flow.secret.is_some() {
                self.tell_requests(&key);
            }
            match turn {
                Turn::Goes if is_local => self.serve_local(key),
                Turn::Goes => {}
                Turn::Over => self.close(&key, true),
                Turn::Lies => self.end_liar(&key),
            }
        }
    }

    fn end_liar(&mut self, key: &Ends) {
        let flow = self.flows.get(key);
        if let Some(question) = flow.and_then(|flow| flow.question.clone()) {
            let denial = Denial {
                origin: Origin::User,
                reason: Reason::OtherHost,
                rule_to_add: None,
            };
            self.gate.refuse(&question, denial);
        }
        self.cut(key);
    }

    /// Resets both sides of a connection.
    pub(crate) fn cut(&mut self, key: &Ends) {
        let now = self.tcp_now();
        if let Some(flow) = self.flows.get_mut(key) {
            flow.reset_guest(&mut self.link, now);
            flow.end(false);
            if flow.guest.is_none() {
                self.fail(key, &ErrorKind::ConnectionRefused.into());
            } else {
                self.close(key, true);
            }
        }
    }

    /// Forgets a connection. Without `ended` the host's side is reset.
    fn close(&mut self, key: &Ends, ended: bool) {
        let Some(mut flow) = self.flows.remove(key) else {
            return;
        };
        if let Some(until) = flow.waits_until() {
            self.connecting.remove(&(until, *key));
        }
        if !ended {
            flow.end(false);
        }
        if flow.guest.is_none() {
            self.half_open = self.half_open.saturating_sub(1);
        }
        self.dirty.remove(key);
        if let Some(due) = flow.due {
            self.due.remove(&(due, *key));
        }
        self.io.forget(flow.token);
        self.held_bytes = self.held_bytes.saturating_sub(flow.held());
        let was_open = flow.opened != 0 && flow.guest.is_some();
        let lasted = self.now.saturating_duration_since(flow.since);
        self.gate.closed(
            was_open.then_some(flow.opened),
            lasted,
            flow.sent,
            flow.received,
        );
        self.freed = Some(self.now);
    }

    /// Connections in the order of nothing, with their questions, for a policy that has changed.
    pub(crate) fn refused_flows(&self) -> Vec<Ends> {
        let now = now_ms() / 1000;
        let is_refused = |flow: &Flow| match (&flow.question, &flow.from) {
            (Some(question), _) if flow.secret.is_some() => {
                !self.gate.ask_granted(question).is_allowed()
            }
            (Some(question), _) => !self.gate.ask(question).is_allowed(),
            (None, Some((vm, port))) => self.gate.policy.judge_from(vm, *port, now).is_some(),
            (None, None) => false,
        };
        let flows = self.flows.iter().filter(|(_, flow)| is_refused(flow));
        flows.map(|(key, _)| *key).collect()
    }
}
