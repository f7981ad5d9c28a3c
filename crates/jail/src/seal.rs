//! Rights that a process gives up by itself, after its start.

use crate::error::{Layer, Step};
use crate::{JailError, filter, sys};

/// Gives up executing programs, for this thread and those that it will start. A process calls it when it has one thread.
///
/// # Errors
/// [`JailError`]: the kernel has no filters of system calls.
pub fn refuse_exec() -> Result<(), JailError> {
    let program = filter::no_exec()?;
    let failed = |source: rustix::io::Errno| JailError::Step {
        layer: Layer::Seccomp,
        step: Step::Seccomp.words(),
        path: None,
        source: source.into(),
    };
    // Without it only root may install a filter (seccomp(2)).
    rustix::thread::set_no_new_privs(true).map_err(failed)?;
    sys::install_filter(&program).map_err(failed)
}
