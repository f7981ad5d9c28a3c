//! The stream of a call, and the answer on it.

use banger_guest::limits::MAX_ANSWER;
use banger_guest::wire::message::{self, MessageError};
use banger_guest::{Answer, Failure, Phase};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio_util::compat::Compat;

use crate::failure::failure;
use crate::guest_state::Guest;

/// The stream of one call.
pub type CallIo = Compat<yamux::Stream>;

/// Sends an answer and ends the call. A host that is gone needs no answer.
pub(super) async fn reply<T: Serialize>(io: &mut CallIo, answer: Result<T, Failure>) {
    let answer = match answer {
        Ok(answer) => Answer::Ok(answer),
        Err(failure) => Answer::Failed(failure),
    };
    if let Err(MessageError::TooLong { len, .. }) = message::write(io, &answer, MAX_ANSWER).await {
        let failed = failure("answer", "fit the limit", format!("it has {len} bytes"));
        let _ = message::write(io, &Answer::<T>::Failed(failed), MAX_ANSWER).await;
    }
    let _ = io.shutdown().await;
}

/// Calls that touch the guest's files and programs need its root.
pub(super) fn running(guest: &Guest) -> Result<(), Failure> {
    match guest.phase() {
        Phase::Running => Ok(()),
        Phase::Waiting | Phase::Held | Phase::Configuring => Err(failure(
            "guest",
            "is configured",
            "it has no root file system yet",
        )),
        Phase::Stopping => Err(failure("guest", "is running", "it is shutting down")),
    }
}
