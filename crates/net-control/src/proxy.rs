//! The upstream proxy of a network process.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A proxy through which connections to the internet go, by CONNECT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// Its addresses, as the daemon found them; the first that takes a connection is used.
    pub addresses: Vec<SocketAddr>,
    /// Targets that are reached directly, in the words of `NO_PROXY`: names with all below them, addresses, networks, `*` for everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

impl Proxy {
    /// Tells whether a destination is reached directly.
    #[must_use]
    pub fn excepts(&self, name: Option<&str>, address: IpAddr) -> bool {
        self.except.iter().any(|one| excepts(one, name, address))
    }
}

fn excepts(one: &str, name: Option<&str>, address: IpAddr) -> bool {
    let one = one.trim();
    if one == "*" {
        return true;
    }
    if one.contains('/') {
        let network = one.parse::<IpNet>();
        return network.is_ok_and(|network| network.contains(&address.to_canonical()));
    }
    if let Ok(only) = one.parse::<IpAddr>() {
        return only == address;
    }
    let suffix = one.trim_start_matches("*.").trim_start_matches('.');
    let Some(name) = name.filter(|_| !suffix.is_empty()) else {
        return false;
    };
    let suffix = suffix.to_ascii_lowercase();
    let parent = name.strip_suffix(&suffix);
    parent.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_read_as_other_programs_read_them() {
        let is = |one: &str, name: Option<&str>, address: &str| {
            excepts(one, name, address.parse().unwrap())
        };
        assert!(is("*", None, "1.1.1.1"));
        assert!(is("1.1.0.0/16", None, "1.1.2.3"));
        assert!(is("0.0.0.0/0", None, "9.9.9.9"));
        assert!(is("2606:4700::/32", None, "2606:4700::1"));
        assert!(is("1.1.1.1", Some("a.example"), "1.1.1.1"));
        assert!(is("example.com", Some("a.example.com"), "1.1.1.1"));
        assert!(is(".Example.com", Some("example.com"), "1.1.1.1"));
        assert!(is("*.example.com", Some("a.example.com"), "1.1.1.1"));
        for (one, name, address) in [
            ("", Some("a.example"), "1.1.1.1"),
            ("example.com", None, "1.1.1.1"),
            ("example.com", Some("anexample.com"), "1.1.1.1"),
            ("1.1.0.0/16", None, "1.2.0.1"),
            ("1.1.0.0/99", None, "1.1.0.1"),
            ("2606:4700::/32", None, "1.1.1.1"),
            ("1.1.1.1", None, "1.1.1.2"),
        ] {
            assert!(!is(one, name, address), "{one:?} {name:?} {address}");
        }
    }
}
