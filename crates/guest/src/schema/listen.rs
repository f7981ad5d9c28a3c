//! Listening in a guest for somebody outside: what the agent's `listen` program and whoever started it tell each other.
//!
//! The program says first where it listens, or why not, in one message. Then both speak yamux: whoever started it opens
//! a stream for each connection that it would take and sends one byte; the answer, when a connection comes, is who it is,
//! and the connection's bytes follow.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The first word of the agent's program as a listener.
pub const LISTEN: &str = "listen";
/// Listens at a TCP address, which follows.
pub const LISTEN_TCP: &str = "tcp";
/// Listens at a Unix socket in a new folder that is its user's alone.
pub const LISTEN_SOCKET: &str = "socket";

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listening {
    /// At this port.
    Port(u16),
    /// At this socket.
    Socket(String),
}

/// A connection that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Who it is; nobody can tell at a Unix socket.
    pub address: Option<SocketAddr>,
}
