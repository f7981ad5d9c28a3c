//! Grants or refuses a client's requests. A task for each channel does the work itself.
//!
//! Requests are granted here, at once and in their order, because a client may send the next one before it has the
//! answer to the last. A command that cannot be started is reported as a failed command: error output and an exit code.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use banger_guest::{LISTEN_TCP, Listening};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Session};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio::task::AbortHandle;

use super::backward::{self, Target};
use super::guest::Guest;
use super::{forward, session};

/// Subsystem names that are served (RFC 4254, 6.5).
pub(super) const SFTP: &str = "sftp";

/// Ports of the guest that one client may have forwarded.
const MAX_FORWARDS: usize = 32;

/// One client.
pub(super) struct Connection<G> {
    guest: Arc<G>,
    user: String,
    /// Ports of the guest that lead to the client, by the address and port that the client asked for.
    forwards: HashMap<(String, u32), AbortHandle>,
}

impl<G> Connection<G> {
    pub(super) fn new(guest: G) -> Self {
        Self {
            guest: Arc::new(guest),
            user: String::new(),
            forwards: HashMap::new(),
        }
    }
}

impl<G> Drop for Connection<G> {
    fn drop(&mut self) {
        self.forwards.values().for_each(AbortHandle::abort);
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

    async fn agent_request(
        &mut self,
        _channel: ChannelId,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let Ok(wanted) = u16::try_from(*port) else {
            return Ok(false);
        };
        if self.forwards.len() == MAX_FORWARDS {
            return Ok(false);
        }
        // Always loopback, for any address that the client asks for: sshd's default (sshd_config(5), `GatewayPorts`).
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, wanted)).to_string();
        let listening = backward::listen(&*self.guest, &self.user, &[LISTEN_TCP, &at]).await;
        // The protocol has no room for the guest's words.
        let Ok(listener) = listening else {
            return Ok(false);
        };
        if let Listening::Port(chosen) = listener.at {
            *port = u32::from(chosen);
        }
        let target = Target::Port(address.to_owned(), *port);
        let passing = tokio::spawn(backward::pass_on(listener, session.handle(), target));
        let name = (address.to_owned(), *port);
        self.forwards.insert(name, passing.abort_handle());
        Ok(true)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let forward = self.forwards.remove(&(address.to_owned(), port));
        Ok(forward.inspect(AbortHandle::abort).is_some())
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
