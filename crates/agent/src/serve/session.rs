//! One conversation with the host: the handshake, then calls until the host is gone.

use std::sync::Arc;

use banger_guest::wire::handshake::{self, HandshakeError};
use banger_guest::wire::session;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Connection, Mode};

use super::call;
use crate::guest_state::Guest;

/// Meets a host and serves it until it goes away or breaks the rules. Calls that are open then see the end of their
/// streams, and end what they started.
///
/// # Errors
/// Only when no conversation began.
pub async fn serve<S>(mut channel: S, guest: &Arc<Guest>) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    handshake::answer(&mut channel).await?;
    let socket = session::buffered(channel.compat());
    let mut connection = Connection::new(socket, session::config(), Mode::Server);
    // yamux limits how many can be open.
    while let Some(Ok(stream)) = std::future::poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        let guest = Arc::clone(guest);
        tokio::spawn(async move { call::answer(stream.compat(), &guest).await });
    }
    Ok(())
}
