//! Answering the host: sessions, calls, and what each call does.

mod call;
mod command;
mod command_line;
mod connect;
mod exec;
mod files;
mod session;
mod terminal;

pub use session::{CallIo, serve};
