//! The host's part in a command's time: the agent ends the command, unless it is an older one, or does not answer.

use std::cell::Cell;
use std::time::Duration;

use banger_api::{ApiError, ErrorCode};
use banger_guest::limits::TIMEOUT_GRACE;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Attach, TIMED_OUT_EXIT};
use crate::failure::Failure;

/// SIGTERM and SIGKILL on Linux (signal(7)).
const TERM: u8 = 15;
const KILL: u8 = 9;
/// Time that the end of a command that is being ended may take to arrive.
const ARRIVES: Duration = Duration::from_secs(5);

/// Ends when the command has had its time and its end does not come.
pub(super) async fn overtime(
    how: Attach,
    signals: &mpsc::UnboundedSender<u8>,
    timed_out: &Cell<bool>,
) -> Failure {
    let Some(timeout) = how.timeout else {
        return std::future::pending().await;
    };
    sleep(timeout).await;
    // The receivers live as long as the command is heard.
    if how.reports {
        sleep(TIMEOUT_GRACE).await;
    } else {
        timed_out.set(true);
        let _ = signals.send(TERM);
        sleep(TIMEOUT_GRACE).await;
        let _ = signals.send(KILL);
    }
    sleep(ARRIVES).await;
    let message = format!(
        "the command has had its {} s, and the guest does not say that it ended",
        timeout.as_secs_f64()
    );
    let error = ApiError::new(ErrorCode::GuestUnreachable, message)
        .hint("banger ps tells whether the VM still runs");
    Failure::with_exit(error, TIMED_OUT_EXIT)
}
