//! Answering the host: sessions, calls, and what each call does.

mod call;
mod changes;
mod command;
mod command_line;
mod connect;
mod detached;
mod exec;
mod files;
mod session;
mod terminal;
mod tree;

pub use changes::names_in_index;
pub use detached::watch;
pub use session::{CallIo, serve};
