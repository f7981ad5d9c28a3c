//! From the first instruction of `/init` to an open channel.

pub mod channel;
pub mod early;
pub mod hardware;
pub mod modules;
pub mod port;
