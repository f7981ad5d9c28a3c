//! TCP listeners of the guest, told as they come and go.
//!
//! The kernel tells nobody that a socket listens from now on, so its table is read twice a second: below a millisecond, and nothing
//! is said while it stays the same.

use std::sync::Arc;
use std::time::Duration;

use banger_guest::Answer;
use banger_guest::limits::MAX_ANSWER;
use banger_guest::wire::message;
use tokio::io::AsyncReadExt as _;

use super::reply::{CallIo, reply, running};
use crate::failure::failure;
use crate::guest_state::Guest;
use crate::report::ports::tcp_listeners;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Tells the listeners, and again whenever they are others, until the host hangs up.
pub(super) async fn watch(mut io: CallIo, guest: &Arc<Guest>) {
    if let Err(failure) = running(guest) {
        return reply::<()>(&mut io, Err(failure)).await;
    }
    let mut told = None;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut nothing = [0];
        tokio::select! {
            // The host says nothing more: this ends with it.
            _ = io.read(&mut nothing) => return,
            _ = looks.tick() => {}
        }
        let found = match tcp_listeners(&guest.machine().relay_addresses()) {
            Ok(found) => found,
            Err(error) => {
                let failed = failure("ports", "read /proc/net/tcp", error);
                return reply::<()>(&mut io, Err(failed)).await;
            }
        };
        if told.as_ref() == Some(&found) {
            continue;
        }
        let answer = Answer::Ok(found);
        if message::write(&mut io, &answer, MAX_ANSWER).await.is_err() {
            return;
        }
        let Answer::Ok(found) = answer else { return };
        told = Some(found);
    }
}
