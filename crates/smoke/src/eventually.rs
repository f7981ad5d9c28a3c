//! Wait for an effect of another process, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Polls until `probe` returns a value, and panics with `what` if it has not done so by the deadline.
///
/// For facts without an event (a process is gone, a state is reached); for output, [`crate::Running::wait_for_stderr`]
/// and [`crate::Terminal::expect`] wait without polling.
pub fn eventually<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    const PAUSE: Duration = Duration::from_millis(25);
    let started = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(
            started.elapsed() < within,
            "{what}: not so within {within:?}"
        );
        thread::sleep(PAUSE);
    }
}
