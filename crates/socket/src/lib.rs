//! Unix sockets for client, daemon and VMMs: at paths of any length, never waited for without end, with a known peer.
//!
//! ```text
//!  /any/length/of/directory/NAME ─► open the directory ─► /proc/self/fd/N/NAME, which fits `sun_path` ─► bind | connect
//! ```
//!
//! Promises: a path may be longer than the 107 bytes of a socket's address (unix(7)); [`connect`] returns by its
//! deadline, also when the listener is stopped; descriptors are closed on exec.
//!
//! It must not: know the protocol over a socket, choose its path or permissions, or need a runtime (all calls block).

mod socket;

pub use socket::{bind, connect, peer_pid};
