//! What a client asks for, granted or refused. The work itself is done by a task for each channel.
//!
//! Requests are granted here, at once and in their order, because a client may send the next one before it has the
//! answer to the last; a command that cannot be started is told as commands tell it, by error output and exit code.

use std::sync::Arc;

use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Session};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};

use super::guest::Guest;
use super::{forward, session};

/// Subsystem names that are served (RFC 4254, 6.5).
pub(super) const SFTP: &str = "sftp";

/// One client.
pub(super) struct Connection<G> {
    guest: Arc<G>,
    user: String,
}

impl<G> Connection<G> {
    pub(super) fn new(guest: G) -> Self {
        Self {
            guest: Arc::new(guest),
            user: String::new(),
        }
    }
}

impl<G: Guest> Handler for Connection<G> {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        user.clone_into(&mut self.user);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        let (guest, user) = (Arc::clone(&self.guest), self.user.clone());
        tokio::spawn(session::run(channel, session.handle(), guest, user));
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _col_width: u32,
        _row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if name == SFTP {
            session.channel_success(channel)
        } else {
            session.channel_failure(channel)
        }
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        match u16::try_from(port) {
            Ok(port) if forward::is_guest_itself(host) => {
                let guest = Arc::clone(&self.guest);
                tokio::spawn(async move {
                    forward::join(channel, reply, guest.connect_port(port).await).await;
                });
            }
            _ => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (guest, path) = (Arc::clone(&self.guest), path.to_owned());
        tokio::spawn(async move {
            forward::join(channel, reply, guest.connect_socket(&path).await).await;
        });
        Ok(())
    }
}
