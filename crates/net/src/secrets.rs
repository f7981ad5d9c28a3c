//! Secrets of the guest's that it does not have: the names that lead to their endpoints, and their values.
//!
//! ```text
//! openai.secret.internal ─► an address of its own ─► SYN to port 80 ─► the gate: may api.openai.com:443 be reached? ─► endpoint
//! ```
//!
//! The names of a guest's secrets are in the configuration; their values are given by the daemon when the process runs. Until then a
//! guest's SYN is not answered, and its kernel asks again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use banger_egress::{Name, Rule};
use banger_net_control::{ControlError, Event, Handover};
use banger_secret::{Field, SecretName, SecretUse, USES_MAX};
use mio::net::TcpStream;
use rustls::ClientConfig;

use crate::connections::Begun;
use crate::endpoint::{Endpoint, Exchange, settings};
use crate::ends::Ends;
use crate::flow::{Backend, Flow};
use crate::limits::ENDPOINTS_MAX;
use crate::lookups::Waiter;
use crate::process::Net;

/// Domain of the names of endpoints.
const DOMAIN: &str = "secret.internal";
/// Port of endpoints.
const PORT: u16 = 80;
/// Port of HTTPS, which no authority names.
const HTTPS: u16 = 443;

/// The secrets of one guest.
#[derive(Default)]
pub(crate) struct Secrets {
    held: BTreeMap<SecretName, Held>,
    tls: Option<Arc<ClientConfig>>,
}

/// A secret's use, and its field when the daemon has given one.
struct Held {
    one: SecretUse,
    field: Option<Field>,
}

impl Secrets {
    /// Those of a configuration, without values yet.
    pub(crate) fn new(uses: &[SecretUse]) -> Self {
        let held = uses.iter().take(USES_MAX).map(|one| {
            let held = Held {
                one: one.clone(),
                field: None,
            };
            (one.name.clone(), held)
        });
        Self {
            held: held.collect(),
            tls: None,
        }
    }

    /// Rules that the secrets mean.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.held.values().map(|held| held.one.rule()).collect()
    }

    pub(crate) fn use_of(&self, secret: &SecretName) -> Option<&SecretUse> {
        self.held.get(secret).map(|held| &held.one)
    }

    /// Takes other ones; answers with those that are not what they were.
    fn set(&mut self, uses: Vec<SecretUse>, given: Handover) -> Result<Vec<SecretName>, String> {
        if uses.len() != given.values.len() || uses.len() > USES_MAX {
            return Err("there are not as many values as secrets".to_owned());
        }
        let tls = settings(given.authorities).map_err(|error| error.to_string())?;
        let mut next = BTreeMap::new();
        for (one, value) in uses.into_iter().zip(given.values) {
            let field = match value.map(|value| one.field(&value)).transpose() {
                Ok(field) => field,
                Err(error) => {
                    crate::say(format_args!("secret {}: {error}", one.name));
                    None
                }
            };
            next.insert(one.name.clone(), Held { one, field });
        }
        let is_same = |name: &SecretName, held: &Held| {
            next.get(name)
                .is_some_and(|new| new.one == held.one && same(&new.field, &held.field))
        };
        let changed = self.held.iter().filter(|(name, held)| !is_same(name, held));
        let changed = changed.map(|(name, _)| name.clone()).collect();
        self.held = next;
        self.tls = Some(tls);
        Ok(changed)
    }

    /// The endpoint over a socket that is connected to the secret's host.
    pub(crate) fn endpoint(&self, secret: &SecretName, stream: TcpStream) -> Option<Endpoint> {
        let held = self.held.get(secret)?;
        let (field, tls) = (held.field.clone()?, self.tls.clone()?);
        let (one, own) = (&held.one, format!("{secret}.{DOMAIN}"));
        let authority = match one.port {
            HTTPS => one.host.to_string(),
            port => format!("{}:{port}", one.host),
        };
        let exchange = Exchange::new(own, authority, field);
        Endpoint::new(stream, one.host.as_str(), tls, exchange).ok()
    }
}

fn same(one: &Option<Field>, other: &Option<Field>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.name == other.name && one.value == other.value,
        (None, None) => true,
        _ => false,
    }
}

/// Tells whether a name is one of endpoints, whatever leads there.
pub(crate) fn is_of_endpoints(name: &Name) -> bool {
    let is_below = name.as_str().strip_suffix(DOMAIN);
    is_below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The secret whose endpoint a name is.
pub(crate) fn secret_of(name: &Name) -> Option<SecretName> {
    let label = name.as_str().strip_suffix(DOMAIN)?.strip_suffix('.')?;
    label.parse().ok()
}

impl Net {
    /// Takes other secrets of the daemon's.
    pub(crate) fn set_secrets(
        &mut self,
        uses: Vec<SecretUse>,
        memory: OwnedFd,
    ) -> Result<(), String> {
        let given = Handover::of_memory(memory).map_err(|error: ControlError| error.to_string())?;
        let changed = self.secrets.set(uses, given)?;
        self.gate.grant(self.secrets.rules());
        let is_changed = |flow: &Flow| {
            let secret = flow.secret.as_ref();
            secret.is_some_and(|secret| changed.contains(secret))
        };
        let flows = self.flows.iter().filter(|(_, flow)| is_changed(flow));
        let flows: Vec<Ends> = flows.map(|(key, _)| *key).collect();
        flows.iter().for_each(|key| self.cut(key));
        self.enforce();
        Ok(())
    }

    /// The address of an endpoint; `None`: there is none of this name.
    pub(crate) fn address_of_endpoint(&mut self, name: &Name) -> Option<Ipv4Addr> {
        let secret = secret_of(name)?;
        self.secrets.use_of(&secret)?;
        let given = self.names.give(name, Vec::new(), self.now)?;
        Some(given.v4)
    }

    /// Begins a connection to an endpoint.
    pub(crate) fn begin_endpoint(
        &mut self,
        key: Ends,
        mut flow: Flow,
        secret: &SecretName,
    ) -> Begun {
        let Some(held) = self
            .secrets
            .held
            .get(secret)
            .filter(|_| key.remote.1 == PORT)
        else {
            return Begun::Refused;
        };
        if self.secrets.tls.is_none() {
            // The daemon gives the value in a moment.
            return Begun::Dropped;
        }
        if held.field.is_none() {
            crate::say(format_args!(
                "secret {secret} has no value that fits its form"
            ));
            return Begun::Refused;
        }
        let endpoints = self.flows.values().filter(|flow| flow.secret.is_some());
        if endpoints.count() >= ENDPOINTS_MAX {
            self.gate.counters.limited += 1;
            return Begun::Refused;
        }
        let (one, port) = (held.one.clone(), held.one.port);
        flow.secret = Some(secret.clone());
        self.insert(key, flow);
        match one.is_local() {
            true => {
                let host = banger_egress::Question::Open {
                    protocol: banger_egress::Protocol::Tcp,
                    destination: banger_egress::Destination::Host,
                    port,
                };
                let loopbacks = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                let at = loopbacks.map(|ip| (host.clone(), SocketAddr::new(ip, port)));
                self.connect(key, at.to_vec());
            }
            false => self.find(one.host, Waiter::Flow(key)),
        }
        Begun::Goes
    }

    /// Records the requests that went out of an endpoint.
    pub(crate) fn tell_requests(&mut self, key: &Ends) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        let (Backend::Endpoint(endpoint), Some(secret)) = (&mut flow.backend, &flow.secret) else {
            return;
        };
        let Some(one) = self.secrets.use_of(secret) else {
            return;
        };
        for told in endpoint.told() {
            self.gate.log.record(Event::Secret {
                secret: secret.clone(),
                host: one.host.clone(),
                method: told.method,
                path: told.path,
                opened: flow.opened,
            });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_endpoints_are_told_from_all_others() {
        let secret = |name: &str| secret_of(&name.parse().unwrap()).map(|one| one.to_string());
        assert_eq!(secret("openai.secret.internal"), Some("openai".to_owned()));
        for other in [
            "secret.internal",
            "a.b.secret.internal",
            "asecret.internal",
            "a.secret.internal.example",
        ] {
            assert_eq!(secret(other), None, "{other}");
        }
        let is = |name: &str| is_of_endpoints(&name.parse().unwrap());
        assert!(is("secret.internal") && is("a.b.secret.internal"));
        assert!(!is("asecret.internal") && !is("internal"));
    }
}
