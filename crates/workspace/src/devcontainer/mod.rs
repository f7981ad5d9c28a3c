//! `devcontainer.json`, the part of it that a VM can honour (<https://containers.dev/implementors/json_reference/>).
//!
//! ```text
//! repository ──► find ──► bytes ──► parse: shapes and limits ──► resolve: variables ──► Resolved
//! ```
//!
//! The repository's authors wrote this file, and they are not trusted. So nothing of it runs on the host, names a path
//! of the host, or learns a variable of the host's that the user has not named.

mod commands;
mod error;
mod find;
mod parse;
mod resolve;
mod variables;

#[cfg(test)]
mod tests;

pub use commands::{Command, Commands};
pub use error::DevcontainerError;
pub use find::{Found, find};
pub use parse::{Devcontainer, Image, NetworkWishes};
pub use resolve::{Host, Resolved};
pub use variables::is_name;
