//! VMM processes, through the engine.

use std::path::Path;
use std::time::{Duration, Instant};

use banger_api::{ApiError, ErrorCode};
use banger_engine::{Engine, EngineError, Signal, VmmIdentity, VmmSpec, VmmState};
use banger_ops::HostResult;
use banger_ops::plans::HOST_WENT_DOWN;

use crate::failure::of_engine;

pub(super) fn start(
    engine: &dyn Engine,
    spec: &VmmSpec,
    deadline: Duration,
) -> HostResult<VmmIdentity> {
    engine
        .start(spec, deadline)
        .map_err(|error| of_engine(&error))
}

pub(super) fn find(
    engine: &dyn Engine,
    token: &str,
    dir: &Path,
) -> HostResult<Option<VmmIdentity>> {
    engine.find(token, dir).map_err(|error| of_engine(&error))
}

pub(super) fn adopt(engine: &dyn Engine, vmm: &VmmIdentity) -> HostResult<()> {
    engine.adopt(vmm).map_err(|error| of_engine(&error))
}

pub(super) fn end(
    engine: &dyn Engine,
    vmm: &VmmIdentity,
    signal: Signal,
    deadline: Duration,
) -> HostResult<()> {
    let began = Instant::now();
    match engine.kill(vmm, signal) {
        Ok(true) => {}
        // It was gone, or its pid belongs to somebody else by now: which is the same.
        Ok(false) | Err(EngineError::NotOurs { .. } | EngineError::Gone { .. }) => return Ok(()),
        Err(error) => return Err(of_engine(&error)),
    }
    let left = deadline.saturating_sub(began.elapsed());
    match engine
        .wait_gone(vmm, left)
        .map_err(|error| of_engine(&error))?
    {
        true => Ok(()),
        false => Err(ApiError::new(
            ErrorCode::Timeout,
            format!(
                "VMM process {} still runs {} s after {signal:?}",
                vmm.pid,
                deadline.as_secs()
            ),
        )),
    }
}

/// Why a VMM ended, with the last console lines where they matter. `None`: it runs.
pub(super) fn exit(engine: &dyn Engine, vmm: &VmmIdentity) -> HostResult<Option<String>> {
    if of_an_earlier_boot(vmm) {
        return Ok(Some(HOST_WENT_DOWN.to_owned()));
    }
    match engine.state(vmm) {
        Ok(VmmState::Gone { cause }) => Ok(Some(match cause {
            Some(cause) => cause.to_string(),
            None => "its VMM is gone".to_owned(),
        })),
        Ok(_) | Err(EngineError::Timeout { .. }) => Ok(None),
        Err(EngineError::NotOurs { .. } | EngineError::Gone { .. }) => {
            Ok(Some("its VMM is gone".to_owned()))
        }
        Err(error) => Err(of_engine(&error)),
    }
}

/// Whether the host has been started anew since: then nothing of that time runs (random(4), `boot_id`).
fn of_an_earlier_boot(vmm: &VmmIdentity) -> bool {
    let now = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    now.is_ok_and(|now| now.trim() != vmm.boot_id.trim())
}
