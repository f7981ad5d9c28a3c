//! Connections that a client makes into the guest.

use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelOpenFailure};

use super::guest::GuestStream;

/// The guest under one of the names that it has for itself. Others would have to be looked up there.
pub(super) fn is_guest_itself(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    match address {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.is_empty(),
    }
}

/// Joins a channel to a connection, when there is one.
pub(super) async fn join(
    channel: Channel<Msg>,
    reply: ChannelOpenHandle,
    connected: Result<Box<dyn GuestStream>, String>,
) {
    match connected {
        Ok(mut stream) => {
            reply.accept().await;
            // Either side may break off at any time; that is how connections end.
            let _ = tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut stream).await;
        }
        // The protocol has no room for the guest's words that clients would show.
        Err(_told_by_the_reason) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_guest_itself_are_reached() {
        for host in [
            "localhost",
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "[::1]",
            "0.0.0.0",
        ] {
            assert!(is_guest_itself(host), "{host}");
        }
        for host in ["10.0.2.2", "example.com", "localhost.example.com", "::2"] {
            assert!(!is_guest_itself(host), "{host}");
        }
    }
}
