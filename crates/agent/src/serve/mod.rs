//! Answering the host: sessions, calls, and what each call does.

mod call;
mod changes;
mod command;
mod command_line;
mod connect;
mod counted_input;
mod detached;
mod exec;
mod family;
mod files;
mod ports;
mod reply;
mod session;
mod terminal;
mod terminfo;
mod tree;

pub use changes::names_in_index;
pub use detached::watch;
pub use reply::CallIo;
pub use session::serve;
