//! Limits of an answer: its size, and the time that the client waits for it.

use std::time::Duration;

/// Largest JSON answer, in bytes. A VM takes about 600 bytes, so that this holds 50,000 of them.
pub const MAX_JSON_BYTES: usize = 32 * 1024 * 1024;

/// Longest line of an event stream, in bytes. The longest real one is an error with console lines.
pub const MAX_EVENT_LINE_BYTES: usize = 256 * 1024;

/// Largest event (all its `data:` lines together), in bytes.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Time for the daemon to answer a call that only reads or starts something.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Time for a guest to start a command. Its daemon waits as long for the guest's health.
pub const START_DEADLINE: Duration = Duration::from_secs(10);
