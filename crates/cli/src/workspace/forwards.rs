//! Ports of the guest that a repository wants to be reached: at loopback, above the system's own ports, where one is
//! free.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, TcpListener};

use banger_api::vm::Publish;

/// Ports below this one are the system's (RFC 6335, 6): no repository gets one of the host's.
const FIRST: u16 = 1024;

/// Number of times that another port is asked for: the system may offer one again that is about to be taken.
const TRIES: usize = 8;

/// Ports to publish for those that are wanted and not published yet, and a line on each that is elsewhere.
pub(super) fn choose(
    wanted: &[u16],
    explicit: &[Publish],
    is_free: &dyn Fn(u16) -> bool,
    any_free: &dyn Fn() -> Option<u16>,
) -> (Vec<Publish>, Vec<String>) {
    let mut taken: BTreeSet<u16> = explicit.iter().map(|one| one.host_port).collect();
    let (mut publish, mut told) = (Vec::new(), Vec::new());
    for &port in wanted {
        if explicit.iter().any(|one| one.guest_port == port) {
            continue;
        }
        let why = match port {
            _ if port < FIRST => "is the system's here",
            _ if taken.contains(&port) || !is_free(port) => "is taken here",
            _ => "",
        };
        let host_port = match why {
            "" => Some(port),
            _ => (0..TRIES)
                .find_map(|_| any_free().filter(|other| *other >= FIRST && !taken.contains(other))),
        };
        let Some(host_port) = host_port else {
            told.push(format!(
                "port {port} {why}, and no other is free: it is not published"
            ));
            continue;
        };
        if host_port != port {
            told.push(format!(
                "port {port} {why}: the guest's is at 127.0.0.1:{host_port}"
            ));
        }
        taken.insert(host_port);
        publish.push(Publish {
            host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host_port,
            guest_port: port,
        });
    }
    (publish, told)
}

/// Tells whether nothing listens at that port of loopback. Somebody may come before the VM does; then its start says
/// so.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A port of loopback at which nothing listens.
pub(super) fn any_free() -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(
        wanted: &[u16],
        explicit: &[&str],
        busy: &[u16],
        other: Option<u16>,
    ) -> (String, String) {
        let explicit: Vec<Publish> = explicit.iter().map(|one| one.parse().unwrap()).collect();
        let (publish, told) = choose(wanted, &explicit, &|port| !busy.contains(&port), &|| other);
        let publish: Vec<_> = publish.iter().map(ToString::to_string).collect();
        (publish.join(" "), told.join(" | "))
    }

    #[test]
    fn a_free_port_is_itself_and_any_other_is_told() {
        assert_eq!(
            shown(&[3000, 4000], &[], &[], None),
            (
                "127.0.0.1:3000:3000 127.0.0.1:4000:4000".to_owned(),
                String::new()
            )
        );
        let (publish, told) = shown(&[3000], &[], &[3000], Some(40000));
        assert_eq!(publish, "127.0.0.1:40000:3000");
        assert_eq!(
            told,
            "port 3000 is taken here: the guest's is at 127.0.0.1:40000"
        );
        let (publish, told) = shown(&[3000], &[], &[3000], None);
        assert_eq!(publish, "");
        assert!(told.contains("not published"), "{told}");
    }

    #[test]
    fn no_port_below_1024_of_the_host_is_given() {
        assert_eq!(shown(&[80], &[], &[], Some(40000)).0, "127.0.0.1:40000:80");
        assert_eq!(shown(&[22], &[], &[], Some(1000)).0, "");
    }

    #[test]
    fn what_the_user_publishes_comes_first() {
        assert_eq!(
            shown(&[80], &["8080:80"], &[], None),
            (String::new(), String::new())
        );
        assert_eq!(
            shown(&[8080], &["8080:80"], &[], Some(40000)).0,
            "127.0.0.1:40000:8080"
        );
        assert_eq!(
            shown(&[8080, 9000], &["8080:80"], &[], Some(8080)).0,
            "127.0.0.1:9000:9000"
        );
    }

    #[test]
    fn a_port_that_somebody_listens_at_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
        assert!(any_free().is_some());
    }
}
