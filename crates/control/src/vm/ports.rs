//! Published ports: what a request may ask for. Their ways into the guest are the network plan's.

use banger_api::vm::{NetMode, Publish};
use banger_api::{ApiError, ErrorCode};

/// Refuses what cannot be published.
///
/// # Errors
/// `invalid_argument`: there is no network, or a port of the host is named twice.
pub(super) fn check_ports(net: NetMode, publish: &[Publish]) -> Result<(), ApiError> {
    if net == NetMode::None && !publish.is_empty() {
        let message = format!(
            "port {} cannot be published: the VM has no network",
            publish[0].guest_port
        );
        let hint = "--net user gives it one, where --net or network.mode in config.toml says none; or leave out --publish";
        return Err(ApiError::new(ErrorCode::InvalidArgument, message).hint(hint));
    }
    for (n, one) in publish.iter().enumerate() {
        let same =
            |other: &Publish| (other.host_ip, other.host_port) == (one.host_ip, one.host_port);
        if publish[..n].iter().any(same) {
            let message = format!("host port {} is published twice", one.host_port);
            return Err(ApiError::new(ErrorCode::InvalidArgument, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_published_is_refused_by_its_port() {
        let refused = |net, ports: &[&str]| {
            let published: Vec<_> = ports.iter().map(|one| one.parse().unwrap()).collect();
            match check_ports(net, &published) {
                Ok(()) => String::new(),
                Err(error) => error.message,
            }
        };
        assert_eq!(refused(NetMode::User, &["80:80", "127.0.0.2:80:80"]), "");
        assert_eq!(refused(NetMode::None, &[]), "");
        assert!(refused(NetMode::None, &["80:8080"]).contains("port 8080"));
        assert!(refused(NetMode::User, &["80:1", "80:2"]).contains("port 80"));
    }
}
