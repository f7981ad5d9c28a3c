//! The network process of one VM: its guest's packets on one side, ordinary sockets of the host on the other.
//!
//! ```text
//! guest ◄─ Ethernet in Unix datagrams ─► this process ─► sockets of the host's, as an ordinary user
//!                                          │   ▲
//!                                   audit log   control socket: policy, status, refusals (`banger-net-control`)
//! ```
//!
//! Promises:
//! - Nothing leaves that the policy does not allow; without a policy that can be read nothing is served.
//! - A refusal is seen at once: TCP is reset, everything else gets ICMP, a name is REFUSED.
//! - Every byte of the guest is hostile: lengths are checked, and what a guest makes the process hold or do is bounded.
//! - It can be killed at any moment and replaced: the link is datagrams, and all state that lasts is in its configuration.
//!   The guest's open connections are reset then; new ones work at once.
//! - It needs no root and no namespace, starts no program, and ends with its VMM.
//!
//! - A secret of the user's is in its memory alone, and leaves it for the one host that it is for, in TLS.
//!
//! It must not: know the store or the API, or keep anything on disk but its log.

mod answer;
mod audit_log;
mod connections;
mod control;
mod datagrams;
pub mod dns;
mod endpoint;
mod ends;
mod flow;
mod gate;
mod guest_tcp;
mod host;
mod host_files;
mod ingress;
mod io;
mod limits;
mod link;
mod local;
mod lookups;
mod memory;
mod names;
pub mod packet;
pub mod peek;
mod peers;
mod places;
mod process;
mod proxy;
mod published;
mod resolver;
mod secrets;
mod start;
mod users;

pub use answer::refusals;
pub use endpoint::exchanged;
pub use host::name_servers;
pub use host_files::StdFiles;
pub use users::{diagnosis, of_connection as user_of};

pub use start::{StartArgs, StartError, arguments, jail_spec, prepare, read_config, run, token_of};

pub(crate) use start::say;
