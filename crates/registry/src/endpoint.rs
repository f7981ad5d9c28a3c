//! Address of a registry, and the rule for plain HTTP to it.

use std::net::IpAddr;

use banger_oci::Reference;
use banger_oci::reference::DEFAULT_REGISTRY;
use reqwest::Url;

use crate::address::{NotPublic, Reach};
use crate::error::RegistryError;

/// A registry's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port, as users write them.
    pub(crate) name: String,
    /// `host[:port]` to connect to.
    authority: String,
    /// Allowed protocols.
    pub(crate) transport: Transport,
    /// Addresses that its redirects and token services may have.
    pub(crate) reach: Reach,
}

/// Protocols that are allowed to a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Only over TLS.
    Tls,
    /// Plain HTTP, as the user asked.
    Plain,
    /// TLS if a registry at loopback speaks it, else plain HTTP, which no other machine can read.
    Loopback,
}

impl Endpoint {
    pub(crate) fn of(reference: &Reference, plain_http: bool, reach: Reach) -> Self {
        let name = reference.registry().to_owned();
        // The default registry's name differs from its host; every container tool has this address built in.
        let authority = match name.as_str() {
            DEFAULT_REGISTRY => format!("registry-1.{DEFAULT_REGISTRY}"),
            other => other.to_owned(),
        };
        let transport = match (plain_http, is_loopback(&name)) {
            (true, _) => Transport::Plain,
            (false, true) => Transport::Loopback,
            (false, false) => Transport::Tls,
        };
        Self {
            name,
            authority,
            transport,
            reach,
        }
    }

    /// The address of `path` below `/v2/`.
    pub(crate) fn url(&self, tls: bool, path: &str) -> String {
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}/v2/{path}", self.authority)
    }

    /// Refuses `url` when its address is not allowed, or its protocol.
    pub(crate) fn check(&self, url: &Url) -> Result<(), RegistryError> {
        let near = |NotPublic { host }| RegistryError::Near { host };
        self.reach.check(url).map_err(near)
    }

    /// Tells whether the protocol of `url` is allowed: plain HTTP only where this registry may use it.
    pub(crate) fn allows(&self, url: &Url) -> bool {
        match (url.scheme(), self.transport) {
            ("https", _) | ("http", Transport::Plain) => true,
            ("http", Transport::Loopback) => url.host_str().is_some_and(is_loopback),
            _ => false,
        }
    }
}

/// Tells whether a `host[:port]` is this machine's loopback.
fn is_loopback(host: &str) -> bool {
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => host,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(reference: &str, plain: bool) -> Endpoint {
        Endpoint::of(&reference.parse().unwrap(), plain, Reach::Anywhere)
    }

    #[test]
    fn only_loopback_is_spoken_to_in_the_clear_unless_asked() {
        for (reference, transport) in [
            ("localhost:5000/a", Transport::Loopback),
            ("127.0.0.1:5000/a", Transport::Loopback),
            ("127.8.8.8/a", Transport::Loopback),
            ("[::1]:5000/a", Transport::Loopback),
            ("localhost.example:5000/a", Transport::Tls),
            ("10.0.0.1:5000/a", Transport::Tls),
            ("alpine", Transport::Tls),
        ] {
            assert_eq!(
                endpoint(reference, false).transport,
                transport,
                "{reference}"
            );
        }
        assert_eq!(endpoint("10.0.0.1/a", true).transport, Transport::Plain);
    }

    #[test]
    fn nothing_leads_from_tls_into_the_clear() {
        let url = |text: &str| Url::parse(text).unwrap();
        let remote = endpoint("registry.example/a", false);
        assert!(remote.allows(&url("https://cdn.example/x")));
        assert!(!remote.allows(&url("http://registry.example/x")));
        assert!(!remote.allows(&url("http://127.0.0.1/x")));
        assert!(!remote.allows(&url("ftp://registry.example/x")));
        let local = endpoint("localhost:5000/a", false);
        assert!(local.allows(&url("http://127.0.0.1:9/x")));
        assert!(!local.allows(&url("http://10.0.0.1/x")));
    }

    #[test]
    fn an_address_is_below_the_second_version() {
        assert_eq!(
            endpoint("[::1]:5000/a", false).url(false, "a/tags"),
            "http://[::1]:5000/v2/a/tags"
        );
    }
}
