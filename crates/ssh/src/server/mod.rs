//! An SSH server on the host's side of the channel, for guests without sshd.
//!
//! ```text
//!  ssh ══ stdin, stdout ══ serve ─┬─ session: shell, exec, sftp ──► exec call of the guest's agent
//!                                 ├─ direct-tcpip, streamlocal ───► connect call
//!                                 └─ tcpip-forward, agent ◄───────── exec call of the agent's listener
//! ```
//!
//! Cryptography stays on the host: an emulated guest would take a second for each key exchange, and the agent, which
//! travels into every guest's memory, needs none. The holder of the other end of the stream started this process, and
//! may talk to the daemon anyway, so no further authentication is asked for. The host key is still shown, so that
//! a client's check of it means the same for all guests.

mod backward;
mod forward;
mod guest;
mod handler;
mod serve;
mod session;

pub use guest::{Command, Guest, GuestStream, Terminal};
pub use serve::serve;
