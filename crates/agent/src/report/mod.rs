//! What the guest tells about itself, read from `/proc` (proc(5)).

pub mod ports;
pub mod stats;
