//! Bytes: the handshake record, the length-prefixed messages, the frames, the multiplexer's settings.

pub mod frame;
pub mod handshake;
pub mod message;
pub mod session;
