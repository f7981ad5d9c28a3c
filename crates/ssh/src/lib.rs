//! The way of OpenSSH's client to guests: its configuration, its known hosts, and a server for guests without sshd.
//!
//! ```text
//!  ~/.ssh/config ── fenced Include (user_config) ──► <state>/ssh/config (client_config)
//!                                                        Include <state>/ssh/hosts: Host NAME.vm … (hosts)
//!                                                        Host *.vm
//!                                                        ProxyCommand banger internal connect %h
//!                                                        UserKnownHostsFile <state>/ssh/known_hosts (known_hosts)
//! ```
//!
//! It promises: the user's own file is touched by [`UserConfig::install`] and [`UserConfig::uninstall`] alone, and the
//! second restores it to the byte; a host key that is trusted was made by this host, never learnt from a guest; every
//! path in a written file is read back by ssh as that very path, or refused.
//!
//! It must not: know VMs, daemons or engines, or print.

mod client_config;
mod error;
mod files;
mod hosts;
mod known_hosts;
pub mod server;
mod user_config;

pub use client_config::{ClientConfig, DOMAIN, include_line};
pub use error::SshError;
pub use files::write_if_changed;
pub use hosts::Hosts;
pub use known_hosts::KnownHosts;
pub use user_config::UserConfig;
