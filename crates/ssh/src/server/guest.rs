//! The server's port to a guest: the calls that it needs of one.

use std::collections::BTreeMap;
use std::future::Future;

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes to and from a guest.
pub trait GuestStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> GuestStream for T {}

/// A command that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// Program and arguments; empty: the login shell.
    pub argv: Vec<String>,
    /// Variables on top of the guest's own.
    pub env: BTreeMap<String, String>,
    /// User of the guest that runs it.
    pub user: String,
    /// A terminal for it.
    pub terminal: Option<Terminal>,
}

/// A terminal that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Value of `TERM`.
    pub term: String,
    /// Height, in characters.
    pub rows: u16,
    /// Width, in characters.
    pub cols: u16,
}

/// A guest. Failures are one line for the person at the client.
pub trait Guest: Send + Sync + 'static {
    /// Starts a command: the stream carries exec frames (`banger_guest::wire::frame`).
    fn exec(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Box<dyn GuestStream>, String>> + Send;

    /// Connects to a TCP port of the guest's loopback.
    fn connect_port(
        &self,
        port: u16,
    ) -> impl Future<Output = Result<Box<dyn GuestStream>, String>> + Send;

    /// Connects to a Unix socket of the guest.
    fn connect_socket(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<Box<dyn GuestStream>, String>> + Send;
}
