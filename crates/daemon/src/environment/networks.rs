//! Network processes of running VMs: each is watched by its pidfd, and replaced when it ends by itself.
//!
//! ```text
//! started, adopted ─► pidfd readable ─► not too often lately? ─► vm::net_ended
//!                                       no: when it is again
//! ```

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use banger_api::{ApiError, ErrorCode, VmId};
use banger_control::{Control, vm};
use banger_egress::{Policy, Rule, SetName};
use banger_net_control::{Client, ControlError, Handover, NetIdentity};
use banger_ops::HostResult;
use banger_secret::SecretUse;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::watch::on_a_thread;
use crate::authorities;
use crate::failure::chain;
use crate::readiness::readable;
use crate::secrets::Shelf;

/// Replacements of one VM's process within [`WITHIN`]; the next one waits.
const AT_MOST: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);
/// Time for an answer of a process that runs.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Pause before a process that could not be started is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Times of the last replacements.
#[derive(Clone, Default)]
pub(crate) struct Replacements(Arc<Mutex<HashMap<VmId, Vec<Instant>>>>);

impl Replacements {
    /// Notes that a process has ended at `now`; answers with the time until it may be replaced.
    fn pause(&self, vm: VmId, now: Instant) -> Duration {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < WITHIN;
        all.retain(|_, times| times.iter().any(is_recent));
        let times = all.entry(vm).or_default();
        times.retain(is_recent);
        times.push(now);
        match times.len().checked_sub(AT_MOST + 1) {
            None => Duration::ZERO,
            Some(first) => WITHIN.saturating_sub(now.saturating_duration_since(times[first])),
        }
    }
}

/// Waits for the end of a process, and has it replaced.
pub(super) async fn watch(
    control: Control,
    replacements: Replacements,
    id: VmId,
    net: NetIdentity,
) {
    let pid = i32::try_from(net.pid).ok().and_then(Pid::from_raw);
    // One that cannot be opened has ended already; one with a reused pid is no network process, which is asked for below.
    if let Some(fd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
        && let Ok(fd) = readable(fd)
    {
        let _ = fd.readable().await;
    }
    let pause = replacements.pause(id, Instant::now());
    if !pause.is_zero() {
        tracing::error!(vm = %id, ?pause, "a VM's network process ends again and again");
        tokio::time::sleep(pause).await;
    }
    on_a_thread(move || {
        if let Err(error) = vm::net_ended(&control, id, &net) {
            tracing::error!(vm = %id, %error, "cannot replace a network process that ended");
        }
    })
    .await;
}

/// Tries again to start a process after a while.
pub(super) async fn try_again(control: Control, id: VmId) {
    tokio::time::sleep(TRY_AGAIN).await;
    on_a_thread(move || {
        if let Err(error) = vm::ensure_net(&control, id) {
            tracing::error!(vm = %id, %error, "cannot start a network process");
        }
    })
    .await;
}

/// Gives a process these rules, unless it has later ones, or has ended: the next one has them.
pub(super) fn set_policy(net: &NetIdentity, policy: Policy) -> HostResult<()> {
    let generation = policy.generation;
    let told = |error: &ControlError| {
        let message = format!(
            "the rules are stored, and the VM's network process does not take them: {}",
            chain(error)
        );
        ApiError::new(ErrorCode::Internal, message)
    };
    let client = Client::with(net, ANSWER_WITHIN).map_err(|error| told(&error))?;
    let Some(mut client) = client else {
        return Ok(());
    };
    if client.hello().generation > generation {
        return Ok(());
    }
    client
        .set_policy(policy)
        .map(drop)
        .map_err(|error| told(&error))
}

/// Gives a process these secrets with their values, unless it has ended: the next one gets them when it runs.
pub(super) fn set_secrets(shelf: &Shelf, net: &NetIdentity, uses: &[SecretUse]) -> HostResult<()> {
    let told = |error: &ControlError| {
        let message = format!(
            "the VM's network process does not take its secrets: {}",
            chain(error)
        );
        let error = ApiError::new(ErrorCode::Internal, message);
        error.hint("a process of an older banger knows none: restart the VM")
    };
    let client = Client::with(net, ANSWER_WITHIN).map_err(|error| told(&error))?;
    let Some(mut client) = client else {
        return Ok(());
    };
    if uses.is_empty() && !client.knows_secrets() {
        return Ok(());
    }
    let given = match uses {
        [] => Handover::default(),
        uses => Handover {
            values: uses
                .iter()
                .map(|one| shelf.value(&one.name))
                .collect::<HostResult<_>>()?,
            authorities: authorities::of_this_host()?,
        },
    };
    client
        .set_secrets(uses.to_vec(), &given)
        .map_err(|error| told(&error))
}

/// Rules of a set, from the configuration of this user and host.
pub(super) fn rules_of(set: SetName) -> HostResult<Vec<Rule>> {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    banger_egress::read_set(set, &home, &banger_net::StdFiles)
        .map_err(|error| ApiError::new(ErrorCode::InvalidArgument, chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_again_and_again_is_replaced_five_times_a_minute() {
        let (replacements, vm) = (Replacements::default(), VmId::new());
        let began = Instant::now();
        for second in 0..5 {
            let now = began + Duration::from_secs(second);
            assert_eq!(replacements.pause(vm, now), Duration::ZERO);
        }
        let now = began + Duration::from_secs(10);
        assert_eq!(replacements.pause(vm, now), Duration::from_secs(50));
        assert_eq!(replacements.pause(VmId::new(), now), Duration::ZERO);
        let later = began + Duration::from_secs(100);
        assert_eq!(replacements.pause(vm, later), Duration::ZERO);
    }
}
