//! Servers of guests at addresses of this host, as they come and go.
//!
//! ```text
//! agent ─ which TCP sockets listen, whenever that changes ─► Keeper, one for each VM that runs on banger's own network
//!    wanted: 127.83.x.y at the same port ─┐
//!    what the network process says        ├─► sockets that the daemon binds ─► the process; those that are gone are closed
//! ```
//!
//! Nothing of it is stored: it is compared anew with what listens and with what the process has, so either may be replaced at any time.
//! A connection is taken from this user's processes alone, and leads through the door of the guest's agent.

mod keep;
mod listen;
mod open;

pub(crate) use keep::Keeper;
pub(crate) use listen::set_published;
pub(crate) use open::OpenPorts;
