//! Listening in a guest for a program outside: messages between the agent's `listen` program and its starter.
//!
//! The program first sends its address, or the cause of its failure, in one message. Then both speak yamux: the starter
//! opens a stream for each connection that it can take and sends one byte. When a connection arrives, the answer is its
//! peer, and the connection's bytes follow.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The first word of the agent's program as a listener.
pub const LISTEN: &str = "listen";
/// Listens at a TCP address, which follows.
pub const LISTEN_TCP: &str = "tcp";
/// Listens at a Unix socket in a new folder that only its user can enter.
pub const LISTEN_SOCKET: &str = "socket";

/// Place at which the program listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listening {
    /// Port of the TCP socket.
    Port(u16),
    /// Path of the Unix socket.
    Socket(String),
}

/// A new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Address of the peer; `None` for a Unix socket.
    pub address: Option<SocketAddr>,
}
