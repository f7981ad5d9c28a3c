//! VMM processes, through the engine.

use std::path::Path;
use std::time::{Duration, Instant};

use banger_api::{ApiError, ErrorCode, ExitCause, LayerId};
use banger_control::vm::WORK;
use banger_engine::{
    Engine, EngineError, LaunchToken, NewTop, Signal, VmmIdentity, VmmSpec, VmmState,
};
use banger_ops::steps::{Switched, TopOf};
use banger_ops::{Events, HostResult, TemplateFacts, TemplateFiles};

use crate::failure::of_engine;

/// Priority of a process in the background (nice(2)).
const GIVING_WAY: i32 = 10;

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
    token: &LaunchToken,
    dir: &Path,
) -> HostResult<Option<VmmIdentity>> {
    engine.find(token, dir).map_err(|error| of_engine(&error))
}

pub(super) fn resize_disk(engine: &dyn Engine, vmm: &VmmIdentity, bytes: u64) -> HostResult<()> {
    engine
        .resize_disk(vmm, WORK, bytes)
        .map_err(|error| of_engine(&error))
}

/// Digits of a layer's id that name its switch: the last, which are random.
const SWITCH_DIGITS: usize = 11;

/// Lets a guest write on over its disks.
pub(super) fn switch_disks(
    engine: &dyn Engine,
    vmm: &VmmIdentity,
    layer: LayerId,
    tops: &[TopOf],
    deadline: Duration,
    events: &dyn Events,
) -> HostResult<Switched> {
    if let Some(top) = tops.iter().find(|top| !top.to.is_file()) {
        events.warn(&format!("{} is gone", top.to.display()));
        return Ok(Switched::No);
    }
    let digits = layer.0.simple().to_string();
    let switch = format!("t{}", &digits[digits.len() - SWITCH_DIGITS..]);
    let new = tops.iter().map(|top| NewTop {
        serial: top.serial.clone(),
        file: top.to.clone(),
        switch: switch.clone(),
    });
    let new: Vec<NewTop> = new.collect();
    match engine.switch_disks(vmm, &new, deadline) {
        Ok(()) | Err(EngineError::Gone { .. }) => Ok(Switched::Yes),
        Err(error @ (EngineError::Refused { .. } | EngineError::Invalid { .. })) => {
            events.warn(&of_engine(&error).message);
            Ok(Switched::No)
        }
        // It may have been done. If not, the VMM writes on to what is called the layer's, which a start of the VM finds below its top
        // as it finds it now, and which nobody else opens meanwhile: the VMM has it locked.
        Err(error) => {
            let message = of_engine(&error).message;
            events.warn(&format!(
                "when the disks were switched is not known: {message}"
            ));
            Ok(Switched::Yes)
        }
    }
}

/// Saves a guest, and writes what is told of it.
pub(super) fn save(
    engine: &dyn Engine,
    vmm: &VmmIdentity,
    to: &TemplateFiles,
    facts: &TemplateFacts,
    deadline: Duration,
) -> HostResult<()> {
    engine
        .save(vmm, &to.memory(), &to.state(), deadline)
        .map_err(|error| of_engine(&error))?;
    let failed = |error: std::io::Error| {
        let message = format!("cannot write {}: {error}", to.facts().display());
        ApiError::new(ErrorCode::Internal, message)
    };
    let json = serde_json::to_vec(facts).map_err(|error| failed(error.into()))?;
    std::fs::write(to.facts(), json).map_err(failed)
}

/// Lets other processes go first: each thread has a priority of its own, and each session one beside those (sched(7)).
pub(super) fn give_way(vmm: &VmmIdentity) {
    let threads = std::fs::read_dir(format!("/proc/{}/task", vmm.pid));
    for thread in threads.into_iter().flatten().flatten() {
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok());
        let id = id.and_then(rustix::process::Pid::from_raw);
        // One that has ended meanwhile, or a host that refuses: it runs all the same.
        let _ = rustix::process::setpriority_process(id, GIVING_WAY);
    }
    let _ = std::fs::write(
        format!("/proc/{}/autogroup", vmm.pid),
        GIVING_WAY.to_string(),
    );
}

pub(super) fn suspend(
    engine: &dyn Engine,
    vmm: &VmmIdentity,
    to: &Path,
    deadline: Duration,
) -> HostResult<()> {
    engine
        .suspend(vmm, to, deadline)
        .map_err(|error| of_engine(&error))
}

pub(super) fn pause(engine: &dyn Engine, vmm: &VmmIdentity) -> HostResult<()> {
    engine.pause(vmm).map_err(|error| of_engine(&error))
}

pub(super) fn resume(engine: &dyn Engine, vmm: &VmmIdentity) -> HostResult<()> {
    engine.resume(vmm).map_err(|error| of_engine(&error))
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

/// Cause of a VMM's end. `None`: it runs.
pub(super) fn exit(engine: &dyn Engine, vmm: &VmmIdentity) -> HostResult<Option<ExitCause>> {
    if of_an_earlier_boot(vmm) {
        return Ok(Some(ExitCause::HostWentDown));
    }
    match engine.state(vmm) {
        Ok(VmmState::Gone { cause }) => Ok(Some(cause.map_or(ExitCause::Unknown, told))),
        Ok(_) | Err(EngineError::Timeout { .. }) => Ok(None),
        Err(EngineError::NotOurs { .. } | EngineError::Gone { .. }) => Ok(Some(ExitCause::Unknown)),
        Err(error) => Err(of_engine(&error)),
    }
}

/// The engine's cause as records and users have it.
fn told(cause: banger_engine::ExitCause) -> ExitCause {
    use banger_engine::ExitCause as Seen;
    match cause {
        Seen::GuestPanic { message } => ExitCause::GuestPanic { message },
        Seen::GuestShutdown => ExitCause::GuestShutdown,
        Seen::GuestReset => ExitCause::GuestReset,
        Seen::HostQuit => ExitCause::HostQuit,
        Seen::HostSignal { signal } => ExitCause::HostSignal { signal },
        Seen::Killed { signal } => ExitCause::Killed { signal },
        Seen::Failed { message } => ExitCause::Failed { message },
        Seen::Vanished => ExitCause::Vanished,
    }
}

/// Tells whether the host has been started anew since: then nothing of that time runs (random(4), `boot_id`).
fn of_an_earlier_boot(vmm: &VmmIdentity) -> bool {
    let now = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    now.is_ok_and(|now| now.trim() != vmm.boot_id.trim())
}
