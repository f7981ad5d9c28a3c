//! A program beside which something is measured.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a program to its end, without its output.
///
/// # Panics
/// It cannot be run, or fails: there is nothing to compare with then.
pub fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let took = start.elapsed();
    match status {
        Ok(status) => assert!(status.success(), "{command:?}: {status}"),
        Err(error) => panic!("{command:?}: {error}"),
    }
    took
}
