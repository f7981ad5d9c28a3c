//! Addresses that a registry may have when a repository's file, and not the user, names it: public ones only. A
//! repository must not reach this host, its network, or the metadata services of clouds at link-local addresses.
//!
//! ```text
//! URL with an address ─► judged as it is          (before each request, redirects and token services included)
//! URL with a name ─────► resolved, each address judged, the public ones used    (at each connection)
//! ```

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Addresses that requests may connect to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// Any address.
    #[default]
    Anywhere,
    /// Public addresses only.
    Public,
}

/// A host that was not connected to, because its address is not public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotPublic {
    pub(crate) host: String,
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no public address", self.host)
    }
}

impl std::error::Error for NotPublic {}

impl Reach {
    /// Judges an address that is written in `url`; names are judged when they are resolved.
    pub(crate) fn check(self, url: &Url) -> Result<(), NotPublic> {
        let host = url.host_str().unwrap_or_default();
        // An address is written in one way here, whatever the URL had (WHATWG URL, 3.5).
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        match (self, address) {
            (Self::Anywhere, _) | (Self::Public, Err(_)) => Ok(()),
            (Self::Public, Ok(address)) if is_public(address) => Ok(()),
            (Self::Public, Ok(_)) => Err(NotPublic {
                host: host.to_owned(),
            }),
        }
    }
}

/// A resolver that leaves out addresses that are not public.
#[derive(Debug, Default)]
pub(crate) struct PublicOnly {
    /// Hosts of the proxies in the user's environment: allowed even when not public. A proxy judges its targets itself.
    proxies: HashSet<String>,
}

impl PublicOnly {
    /// With the proxies that the environment names.
    pub(crate) fn of_environment(var: &dyn Fn(&str) -> Option<String>) -> Self {
        let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        let host = |text: String| {
            let url = match text.contains("://") {
                true => Url::parse(&text),
                false => Url::parse(&format!("http://{text}")),
            };
            Some(url.ok()?.host_str()?.to_ascii_lowercase())
        };
        Self {
            proxies: names.into_iter().filter_map(var).filter_map(host).collect(),
        }
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let is_proxy = self.proxies.contains(&host.to_ascii_lowercase());
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let good: Vec<SocketAddr> = found
                .filter(|address| is_proxy || is_public(address.ip()))
                .collect();
            match good.is_empty() {
                true => Err(NotPublic { host }.into()),
                false => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}

/// Tells whether an address is public (IANA's special-purpose address registries).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        // Shared by a provider's customers (RFC 6598).
        || (a == 100 && b & 0xC0 == 64)
        || (a == 192 && b == 0 && c == 0)
        // The anycast address of 6to4 relays (RFC 7526).
        || (a == 192 && b == 88 && c == 99)
        // Benchmarks (RFC 2544).
        || (a == 198 && b & 0xFE == 18)
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // An IPv4 address within: mapped, translated (RFC 6052), 6to4.
        [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => {
            inner(high, low)
        }
        [0x2002, high, low, ..] => inner(high, low),
        // Only 2000::/3 is allocated; the ranges in it with a special purpose are left out.
        [first, second, ..] => {
            first & 0xE000 == 0x2000
                && !(first == 0x2001 && second < 0x200)
                && !(first == 0x2001 && second == 0xDB8)
                && !(first == 0x3FFF && second < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_host_and_its_networks_are_told_from_those_of_the_world() {
        for near in [
            "0.0.0.0",
            "10.0.0.7",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.170",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(near.parse().unwrap()), "{near}");
        }
        for far in [
            "1.1.1.1",
            "93.184.216.34",
            "100.63.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "64:ff9b::101:101",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_judged_however_it_is_written() {
        let check = |text: &str| Reach::Public.check(&Url::parse(text).unwrap());
        for near in [
            "https://127.1/v2/",
            "https://0x7f000001/v2/",
            "https://017700000001/v2/",
            "https://[::1]:5000/v2/",
            "https://[::ffff:7f00:1]/v2/",
            "http://169.254.169.254/latest",
        ] {
            assert!(check(near).is_err(), "{near}");
        }
        assert!(check("https://1.1.1.1/v2/").is_ok());
        assert!(check("https://registry.example/v2/").is_ok());
        let own = Url::parse("https://127.0.0.1/").unwrap();
        assert!(Reach::Anywhere.check(&own).is_ok());
    }

    #[tokio::test]
    async fn a_name_with_none_but_near_addresses_is_not_resolved() {
        let resolver = PublicOnly::default();
        let refused = resolver.resolve("localhost".parse().unwrap()).await;
        let Err(error) = refused else {
            panic!("resolved");
        };
        let expected = NotPublic {
            host: "localhost".to_owned(),
        };
        assert_eq!(error.downcast_ref::<NotPublic>(), Some(&expected));
        let var = |name: &str| (name == "HTTPS_PROXY").then(|| "http://localhost:3128".to_owned());
        let with_proxy = PublicOnly::of_environment(&var);
        assert!(
            with_proxy
                .resolve("localhost".parse().unwrap())
                .await
                .is_ok()
        );
    }
}
