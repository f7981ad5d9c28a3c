//! Place to which a destination of the guest's leads, and the gate before it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use banger_egress::{Destination, Name, Protocol, Question};
use banger_secret::SecretName;
use smoltcp::wire::IpProtocol;

use crate::host;
use crate::peers;
use crate::process::Net;
use crate::secrets;

/// Place to which a destination of the guest's leads.
pub(crate) enum Place {
    /// To one of these addresses of the host's world, each with its question.
    At(Vec<(Question, SocketAddr)>),
    /// To another VM.
    Peer(Name),
    /// To the endpoint of a secret.
    Secret(SecretName),
    /// To a name; with the addresses that the host found for it just now.
    Named(Name, Option<Vec<IpAddr>>),
}

/// Answer of the gate to several candidates.
pub(crate) enum Gated {
    /// These are allowed; the number of the record that tells of it.
    Allowed(Vec<(Question, SocketAddr)>, u64),
    /// None is.
    Denied,
    /// There is no address.
    Nowhere,
}

impl Net {
    /// Finds out where an address leads.
    pub(crate) fn place(&mut self, protocol: Protocol, address: IpAddr, port: u16) -> Place {
        let host = || Question::Open {
            protocol,
            destination: Destination::Host,
            port,
        };
        if self.gateway(address) == Some(address) {
            let loopbacks: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Place::At(loopbacks.map(|one| (host(), (one, port).into())).to_vec());
        }
        if let Some((name, found)) = self.names.of(address, self.now) {
            if let Some(vm) = peers::vm_of(&name) {
                return Place::Peer(vm);
            }
            if let Some(secret) = secrets::secret_of(&name) {
                return Place::Secret(secret);
            }
            return Place::Named(name, found);
        }
        Place::At(vec![self.candidate(protocol, None, address, port)])
    }

    /// The question for an address that would be connected to. One of the host's own is the host, whoever named it.
    fn candidate(
        &self,
        protocol: Protocol,
        name: Option<&Name>,
        address: IpAddr,
        port: u16,
    ) -> (Question, SocketAddr) {
        // The kernel takes the unspecified address for this machine.
        let is_host = address.to_canonical().is_unspecified() || host::is_own(address);
        let destination = match name.or_else(|| self.names.seen(address)) {
            _ if is_host => Destination::Host,
            Some(name) => Destination::Named {
                name: name.clone(),
                address,
            },
            None => Destination::Address(address),
        };
        let question = Question::Open {
            protocol,
            destination,
            port,
        };
        (question, (address, port).into())
    }

    /// The questions for a name's addresses. A name never leads to the host.
    pub(crate) fn candidates(
        &self,
        protocol: Protocol,
        name: &Name,
        found: &[IpAddr],
        port: u16,
    ) -> Vec<(Question, SocketAddr)> {
        let found = found.iter();
        found
            .map(|address| self.candidate(protocol, Some(name), *address, port))
            .collect()
    }

    /// Judges the candidates, and records one verdict. Endpoints of secrets may reach what their secrets mean, too.
    pub(crate) fn gate(
        &mut self,
        candidates: Vec<(Question, SocketAddr)>,
        of_endpoint: bool,
    ) -> Gated {
        let ask = |question: &Question| match of_endpoint {
            true => self.gate.ask_granted(question),
            false => self.gate.ask(question),
        };
        let first = candidates.first().map(|(question, _)| question.clone());
        let allowed: Vec<_> = candidates
            .into_iter()
            .filter(|(question, _)| ask(question).is_allowed())
            .collect();
        let told = allowed.first().map(|(question, _)| question.clone());
        let Some(question) = told.or(first) else {
            return Gated::Nowhere;
        };
        let verdict = ask(&question);
        let is_allowed = verdict.is_allowed();
        let seq = self.gate.record(&question, verdict);
        match is_allowed {
            true => Gated::Allowed(allowed, seq),
            false => Gated::Denied,
        }
    }
}

/// The protocol of a question, for packets that are not TCP.
pub(crate) fn protocol_of(protocol: IpProtocol) -> Protocol {
    match protocol {
        IpProtocol::Udp => Protocol::Udp,
        IpProtocol::Tcp => Protocol::Tcp,
        _ => Protocol::Icmp,
    }
}
