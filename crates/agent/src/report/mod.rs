//! Reports of the guest on itself, read from `/proc` (proc(5)).

pub mod commands;
pub mod counters;
pub mod ports;
pub mod stats;
