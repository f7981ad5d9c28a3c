//! Waiting for something that another process does, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Asks again and again until `probe` answers, and panics with `what` when it has not by the deadline.
///
/// For facts that can only be asked for (a process is gone, a state is reached); output is waited for with
/// [`crate::Running::wait_for_stderr`] and [`crate::Terminal::expect`], which need no asking.
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
