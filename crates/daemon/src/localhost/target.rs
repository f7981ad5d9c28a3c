//! The server that a host name means.

use banger_api::vm::{OpenPort, Publish};
use banger_egress::Name;

/// Port of sshd, which no browser means.
const SSH: u16 = 22;
/// Port that a browser means without another word.
const HTTP: u16 = 80;

/// A host name below `localhost`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Name of the VM.
    pub(super) vm: String,
    /// Port of the guest, when the name has one.
    pub(super) port: Option<u16>,
}

impl Asked {
    /// The target of `[PORT.]NAME.localhost`; `None` for every other name.
    pub(super) fn of(name: &Name) -> Option<Self> {
        let rest = name.as_str().strip_suffix(".localhost")?;
        let (vm, port) = match rest.split_once('.') {
            Some((port, vm)) => (vm, Some(port.parse().ok().filter(|port| *port != 0)?)),
            None => (rest, None),
        };
        (!vm.contains('.')).then(|| Self {
            vm: vm.to_owned(),
            port,
        })
    }
}

/// The port that is meant where the name has none: HTTP's own, else the only one there is.
pub(super) fn only(servers: &[OpenPort], publish: &[Publish]) -> Option<u16> {
    let ports = ports(servers, publish);
    match ports[..] {
        _ if ports.contains(&HTTP) => Some(HTTP),
        [port] => Some(port),
        _ => None,
    }
}

/// All ports that a browser can mean.
pub(super) fn ports(servers: &[OpenPort], publish: &[Publish]) -> Vec<u16> {
    let servers = servers.iter().map(|one| one.guest_port);
    let published = publish.iter().map(|one| one.guest_port);
    let mut ports: Vec<u16> = servers
        .chain(published)
        .filter(|port| *port != SSH)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_below_localhost_asks_for_a_vm_and_a_port() {
        let asked = |text: &str| {
            let asked = Asked::of(&text.parse().unwrap())?;
            Some((asked.vm, asked.port))
        };
        assert_eq!(asked("web.localhost"), Some(("web".to_owned(), None)));
        assert_eq!(
            asked("3000.Web.localhost"),
            Some(("web".to_owned(), Some(3000)))
        );
        for other in [
            "localhost",
            "web.example",
            "localhost.example",
            "x.web.localhost",
            "0.web.localhost",
            "70000.web.localhost",
            "1.2.web.localhost",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
    }

    #[test]
    fn the_port_that_is_meant_is_that_of_http_or_the_only_one() {
        let server = |guest_port| OpenPort {
            guest_port,
            at: None,
            failure: None,
        };
        let published: Vec<Publish> = vec!["8080:3000".parse().unwrap()];
        assert_eq!(only(&[server(22)], &[]), None);
        assert_eq!(only(&[server(22), server(3000)], &[]), Some(3000));
        assert_eq!(only(&[server(3000)], &published), Some(3000));
        assert_eq!(only(&[server(5432)], &published), None);
        assert_eq!(only(&[server(80), server(5432)], &published), Some(80));
        assert_eq!(ports(&[server(5432)], &published), [3000, 5432]);
    }
}
