//! SFTP version 3 at standard input and output, for SSH clients of guests without an SFTP server of their own
//! (draft-ietf-secsh-filexfer-02, and OpenSSH's `PROTOCOL` file for its extensions and the order of `SYMLINK`).
//!
//! ```text
//!  stdin ─► packet (bounded) ─► request (typed) ─► server ─► reply ─► stdout
//! ```
//!
//! It runs as a process of its own with the rights of the user it serves, so that the kernel decides what may be done.

mod attributes;
mod packet;
mod request;
mod server;

pub use attributes::Attributes;
pub use packet::{MAX_PACKET, PacketError};
pub use request::{Path, Request};
pub use server::serve;
