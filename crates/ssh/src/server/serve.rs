//! One connection.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{Config, run_stream};
use russh::{MethodKind, MethodSet, SshId};
use tokio::io::{AsyncRead, AsyncWrite};

use super::guest::Guest;
use super::handler::Connection;
use crate::error::SshError;

/// Messages of one channel that wait for a guest that does not take them. The window of a channel (2 MiB) is less, as
/// long as a client fills its packets; a client that does not waits for the guest.
const CHANNEL_QUEUE: usize = 256;

/// Serves one client until it is gone. `host_key` is the VM's private key in OpenSSH's format.
///
/// # Errors
/// The key is malformed, or the client does not speak SSH.
pub async fn serve<S, G>(stream: S, host_key: &str, guest: G) -> Result<(), SshError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    G: Guest,
{
    let key = PrivateKey::from_openssh(host_key).map_err(SshError::HostKey)?;
    let config = Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-banger")),
        methods: MethodSet::from(&[MethodKind::None][..]),
        auth_rejection_time: Duration::ZERO,
        keys: vec![key],
        channel_buffer_size: CHANNEL_QUEUE,
        // An editor may say nothing for hours.
        inactivity_timeout: None,
        ..Config::default()
    };
    let session = run_stream(Arc::new(config), stream, Connection::new(guest)).await?;
    match session.await {
        // Connections usually end so: the client closes without a message.
        Ok(()) | Err(russh::Error::HUP | russh::Error::Disconnect) => Ok(()),
        Err(russh::Error::IO(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
