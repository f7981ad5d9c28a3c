//! Named steps: a scenario boots a guest once and checks several things in it; its log says which one failed.

use std::io::Write as _;
use std::time::Instant;

/// Runs one named part of a scenario, and prints its name and duration on standard error.
pub fn step<T>(name: &str, part: impl FnOnce() -> T) -> T {
    note(&format!("--- {name}"));
    let started = Instant::now();
    let answer = part();
    note(&format!(
        "    {name}: {:.2} s",
        started.elapsed().as_secs_f64()
    ));
    answer
}

/// Writes a line to standard error: the test runner keeps it and shows it with a failure.
pub fn note(line: &str) {
    // A closed standard error is no reason to fail a scenario.
    let _ = writeln!(std::io::stderr(), "{line}");
}
