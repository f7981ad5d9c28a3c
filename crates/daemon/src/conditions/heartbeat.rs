//! A heartbeat for each running VM.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_api::vm::VmState;
use banger_api::{ConditionCause, Timestamp, VmId};
use banger_control::Control;
use banger_engine::{Engine, EngineError, VmmIdentity, VmmState};
use banger_guest::ClientError;
use banger_guest::wire::handshake::Greeting;
use banger_process::Look;
use banger_store::vm;

use super::Conditions;
use super::clock::ClockWatch;
use super::known::GRACE;
use crate::channels::Channels;

/// Time between two beats. A ping wakes the guest for well below a millisecond.
const INTERVAL: Duration = Duration::from_secs(3);
/// After so long without an answer the VMM is looked at.
const IMPATIENT: Duration = Duration::from_secs(1);
/// An agent that has not answered for so long is shown as gone.
const SILENCE: Duration = Duration::from_secs(5);

/// Watches the guest of one VMM.
pub(crate) struct Heartbeat {
    pub(crate) control: Control,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) channels: Channels,
    pub(crate) conditions: Conditions,
    pub(crate) vm: VmId,
    pub(crate) vmm: VmmIdentity,
}

/// Finding of one beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    /// The agent answered.
    Heard,
    /// The VMM does not run its guest: nothing can be said of the agent.
    StandsStill,
    /// Nobody in the guest holds the channel's port.
    PortClosed,
    /// The agent holds the port and did not answer.
    Unheard,
    /// The agent was not asked, and lives as far as can be seen.
    Unasked,
}

/// A moment on the clock that does not jump, and on the one that users read.
pub(super) type Moment = (Instant, Timestamp);

fn now() -> Moment {
    (Instant::now(), Timestamp::now())
}

/// The beats so far.
#[derive(Debug)]
struct Pulse {
    heard: Moment,
    closed: Option<Moment>,
}

impl Pulse {
    fn beginning(now: Moment) -> Self {
        Self {
            heard: now,
            closed: None,
        }
    }

    /// Report of a beat on the agent: why it is taken for gone, and since when.
    fn take(&mut self, beat: Beat, now: Moment) -> Option<(ConditionCause, Timestamp)> {
        if beat != Beat::PortClosed {
            self.closed = None;
        }
        match beat {
            // Silence is counted anew when the VMM goes on.
            Beat::Heard | Beat::StandsStill => {
                self.heard = now;
                None
            }
            Beat::PortClosed => {
                let (_, since) = self.closed.get_or_insert(now);
                Some((ConditionCause::PortClosed, *since))
            }
            Beat::Unheard => {
                let (at, since) = self.heard;
                let silent = now.0.duration_since(at) > SILENCE;
                silent.then_some((ConditionCause::Silent, since))
            }
            Beat::Unasked => None,
        }
    }

    /// Tells whether the agent's port has been closed for so long that nobody will open it again.
    fn is_lost(&self, now: Moment) -> bool {
        self.closed
            .is_some_and(|(at, _)| now.0.duration_since(at) >= GRACE)
    }
}

impl Heartbeat {
    /// Beats until it is dropped. What is known of the VMM is forgotten then.
    pub(crate) async fn beat(self) -> Infallible {
        let _forgotten = Forgotten(&self);
        let mut pulse = Pulse::beginning(now());
        let mut clock = ClockWatch::default();
        loop {
            tokio::time::sleep(INTERVAL).await;
            let beat = self.one(&pulse).await;
            let now = now();
            match (beat, pulse.take(beat, now)) {
                (Beat::Heard, _) => {
                    self.conditions.well(&self.vmm);
                    self.keep_time(&mut clock, now).await;
                }
                (_, Some((cause, since))) => self.conditions.agent_is(&self.vmm, cause, since),
                (Beat::StandsStill, _) => {}
                (_, None) => self.conditions.vmm_runs(&self.vmm),
            }
            if matches!(beat, Beat::StandsStill | Beat::Unheard) {
                clock.forget();
            }
            if pulse.is_lost(now) {
                self.channels.lose(self.vm);
            }
        }
    }

    async fn keep_time(&self, clock: &mut ClockWatch, now: Moment) {
        let socket = &self.vmm.channel_socket;
        let client = self
            .channels
            .client_within(self.vm, socket, Greeting::Running, SILENCE)
            .await;
        if let Ok(client) = client
            && clock.is_due(client.id(), now)
        {
            clock.look(&client, self.vm, now).await;
        }
    }

    async fn one(&self, pulse: &Pulse) -> Beat {
        // A ping into a closed port would only wait.
        if pulse.closed.is_some() {
            let seen = self.look().await;
            if seen != Beat::Unheard {
                return seen;
            }
        }
        let ping = self.ping();
        tokio::pin!(ping);
        let early = tokio::time::timeout(IMPATIENT, &mut ping).await;
        if early == Ok(Beat::Heard) {
            return Beat::Heard;
        }
        let seen = self.look().await;
        match (seen, early) {
            (Beat::Unheard, Ok(early)) => early,
            (Beat::Unheard, Err(_waiting)) => ping.await,
            _ => seen,
        }
    }

    async fn ping(&self) -> Beat {
        let asked = async {
            let socket = &self.vmm.channel_socket;
            let client = self
                .channels
                .client_within(self.vm, socket, Greeting::Running, SILENCE)
                .await?;
            client.ping().await
        };
        match tokio::time::timeout(SILENCE, asked).await {
            // A refusal is an answer.
            Ok(Ok(_) | Err(ClientError::Failed { .. })) => Beat::Heard,
            // As many commands as there can be: their streams tell whether it lives.
            Ok(Err(ClientError::TooManyCalls { .. })) => Beat::Unasked,
            Ok(Err(_)) | Err(_) => Beat::Unheard,
        }
    }

    /// Looks at the VMM on a thread that may block.
    async fn look(&self) -> Beat {
        let (control, vm) = (self.control.clone(), self.vm);
        let (engine, conditions) = (self.engine.clone(), self.conditions.clone());
        let vmm = self.vmm.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let runs = control.read(|db| vm::by_id(db, vm));
            match runs {
                Ok(Some(record)) if record.state == VmState::Running => {
                    look(&*engine, &conditions, &vmm)
                }
                // It is being stopped: its silence is wanted, and its monitor is not to be disturbed.
                _ => Beat::Unasked,
            }
        });
        looked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a look at a VMM failed");
            Beat::Unasked
        })
    }
}

/// `Unheard` when the VMM runs its guest and the guest holds the port.
fn look(engine: &dyn Engine, conditions: &Conditions, vmm: &VmmIdentity) -> Beat {
    if conditions.standing(vmm, &mut Look::new()).is_some() {
        return Beat::StandsStill;
    }
    let still = match engine.state(vmm) {
        Ok(VmmState::Running) => None,
        Ok(VmmState::DiskError) => Some(ConditionCause::DiskError),
        Ok(VmmState::Paused | VmmState::Blocked { .. }) => Some(ConditionCause::Paused),
        Err(EngineError::Timeout { .. }) => Some(ConditionCause::MonitorSilent),
        // It has ended: whoever waits for that tells.
        Ok(VmmState::Gone { .. }) | Err(_) => return Beat::Unasked,
    };
    if let Some(cause) = still {
        conditions.vmm_is(vmm, cause);
        return Beat::StandsStill;
    }
    match engine.channel_is_open(vmm) {
        Ok(false) => Beat::PortClosed,
        Ok(true) | Err(_) => Beat::Unheard,
    }
}

/// Forgets what is known of a VMM when its heartbeat is dropped, however that comes about.
struct Forgotten<'a>(&'a Heartbeat);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.0.conditions.forget(&self.0.vmm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(began: Moment, seconds: u64) -> Moment {
        (began.0 + Duration::from_secs(seconds), began.1)
    }

    #[test]
    fn an_agent_is_silent_after_five_seconds_and_not_before() {
        let began = now();
        let mut pulse = Pulse::beginning(began);
        assert_eq!(pulse.take(Beat::Unheard, at(began, 4)), None);
        let silent = pulse.take(Beat::Unheard, at(began, 6));
        assert_eq!(silent, Some((ConditionCause::Silent, began.1)));
        assert!(!pulse.is_lost(at(began, 600)), "it may be slow");
        assert_eq!(pulse.take(Beat::Heard, at(began, 601)), None);
        assert_eq!(pulse.take(Beat::Unheard, at(began, 604)), None);
    }

    #[test]
    fn a_vmm_that_stood_still_gives_its_agent_its_time_again() {
        let began = now();
        let mut pulse = Pulse::beginning(began);
        assert_eq!(pulse.take(Beat::StandsStill, at(began, 100)), None);
        assert_eq!(pulse.take(Beat::Unheard, at(began, 103)), None);
    }

    #[test]
    fn a_closed_port_is_told_at_once_and_taken_for_lost_after_the_keepers_time() {
        let began = now();
        let mut pulse = Pulse::beginning(began);
        let closed = Some((ConditionCause::PortClosed, began.1));
        assert_eq!(pulse.take(Beat::PortClosed, at(began, 3)), closed);
        assert!(!pulse.is_lost(at(began, 6)));
        assert_eq!(pulse.take(Beat::PortClosed, at(began, 8)), closed);
        assert!(pulse.is_lost(at(began, 8)));
        assert_eq!(
            pulse
                .take(Beat::Unheard, at(began, 9))
                .map(|(cause, _)| cause),
            Some(ConditionCause::Silent)
        );
        assert!(!pulse.is_lost(at(began, 99)), "somebody holds it again");
    }
}
