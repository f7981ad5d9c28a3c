//! Looks at a guest's clock: when a conversation with its agent begins, every minute, and after host or guest stood still.

use std::time::Duration;

use banger_api::VmId;
use banger_guest::{Client, ClientError, ClockChange, ConversationId};

use super::heartbeat::Moment;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(60);
/// Difference between two clocks of the host since the last look after which its time was set, or it has slept:
/// `CLOCK_MONOTONIC` stands still then (clock_gettime(2)).
const JUMP: Duration = Duration::from_millis(100);
/// Time for a look. The agent answers at once, or is asked again with the next beat.
const WITHIN: Duration = Duration::from_secs(2);

/// The last look.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    looked: Option<(ConversationId, Moment)>,
}

impl ClockWatch {
    /// Looks with the next beat, whenever the last look was: the guest stood still, or its agent was silent.
    pub(super) fn forget(&mut self) {
        self.looked = None;
    }

    /// Tells whether it is time for a look.
    pub(super) fn is_due(&self, conversation: ConversationId, now: Moment) -> bool {
        let Some((before, at)) = self.looked else {
            return true;
        };
        before != conversation || now.0.duration_since(at.0) >= INTERVAL || jumped(at, now)
    }

    /// Looks, and mends what is off.
    pub(super) async fn look(&mut self, client: &Client, vm: VmId, now: Moment) {
        let looked = tokio::time::timeout(WITHIN, client.keep_time()).await;
        match looked {
            Ok(Ok((offset, set))) => {
                self.looked = Some((client.id(), now));
                let Some(set) = set else { return };
                let (offset_ms, change) = (offset.offset_ns / 1_000_000, set.change);
                match change {
                    ClockChange::Stepped => {
                        tracing::info!(%vm, offset_ms, "a guest's clock was off and is stepped");
                    }
                    ClockChange::Slewed | ClockChange::Left => {
                        tracing::debug!(%vm, offset_ms, ?change, "a guest's clock is off");
                    }
                }
            }
            // An agent of an older build, or one that may not set the clock: it will not tomorrow.
            Ok(Err(ClientError::Failed { failure, .. })) => {
                tracing::debug!(%vm, %failure, "a guest's clock cannot be kept");
                self.looked = Some((client.id(), now));
            }
            Ok(Err(error)) => tracing::debug!(%vm, %error, "a guest's clock was not looked at"),
            Err(_elapsed) => tracing::debug!(%vm, "a guest's clock was not looked at in time"),
        }
    }
}

fn jumped(at: Moment, now: Moment) -> bool {
    let wall_ms = now.1.as_millisecond() - at.1.as_millisecond();
    let steady = now.0.duration_since(at.0).as_millis();
    let steady_ms = i64::try_from(steady).unwrap_or(i64::MAX);
    u128::from(wall_ms.abs_diff(steady_ms)) > JUMP.as_millis()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use banger_api::Timestamp;

    use super::*;

    fn after(moment: Moment, steady_ms: u64, wall_ms: i64) -> Moment {
        let wall = moment.1.as_millisecond() + wall_ms;
        (
            moment.0 + Duration::from_millis(steady_ms),
            Timestamp::from_millisecond(wall).unwrap(),
        )
    }

    async fn conversation() -> ConversationId {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move { banger_guest::wire::handshake::answer(&mut theirs).await });
        let greeting = banger_guest::wire::handshake::Greeting::Running;
        let client = Client::connect(ours, greeting, WITHIN).await.unwrap();
        client.id()
    }

    #[tokio::test]
    async fn a_clock_is_looked_at_each_minute_and_when_a_conversation_or_the_hosts_time_is_new() {
        let (one, two) = (conversation().await, conversation().await);
        let began = (Instant::now(), Timestamp::now());
        let mut watch = ClockWatch::default();
        assert!(watch.is_due(one, began));
        watch.looked = Some((one, began));
        assert!(!watch.is_due(one, after(began, 59_000, 59_050)));
        assert!(watch.is_due(one, after(began, 60_000, 60_000)));
        assert!(watch.is_due(two, after(began, 1_000, 1_000)));
        assert!(watch.is_due(one, after(began, 3_000, 8_000_000)), "asleep");
        assert!(watch.is_due(one, after(began, 3_000, -1_000)), "set back");
        watch.forget();
        assert!(watch.is_due(one, began));
    }
}
