//! VMs for coding agents: a server of the Model Context Protocol on standard input and output.
//!
//! ```text
//! agent ──JSON-RPC, one line a message──► Server ──► Policy: what the user fixed when it was registered
//!                                            │            │ images, sizes, networks, folders; the agent can only narrow it
//!                                            │            └─► only VMs that carry this policy's label
//!                                            ├─► banger-client ──► daemon
//!                                            └─► Host: what only the program around it can do (daemon, repository)
//! ```
//!
//! It promises: an agent sees and changes no VM but those that were made under its own policy; nothing on the host is read or
//! written outside of the folder and the repository that the user named; an answer has a largest size, whatever a guest sends; an
//! agent that floods it is told so, and nothing is kept for it.
//!
//! It must not print: standard output belongs to the protocol.

mod answer;
mod host;
mod ownership;
mod policy;
mod server;
mod tools;

pub use host::{Host, HostPatch};
pub use policy::{Policy, Refusal};
pub use server::{ServeError, Server, serve};
