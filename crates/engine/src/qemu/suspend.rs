//! Guests that stand still while nothing of them runs: memory, devices and processors in one file.
//!
//! ```text
//! suspend   stop ─► memory and state to a part ─► fsync ─► the part gets its name ─► (the VMM is ended by the caller)
//! wake      load ─► the file goes, durably ─► the guest runs
//! ```
//! So the file is there exactly while the guest has not gone on: a guest that wrote to its disks is never loaded a second time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{limit, saved};
use crate::EngineError;
use crate::qmp::Monitor;

/// Bytes a second at which QEMU writes: as fast as the disk is. Its default is that of a network.
const BANDWIDTH: u64 = 1 << 40;
/// Bytes of a state beside the memory, with room.
const BESIDE_MEMORY: u64 = 64 << 20;

/// Stops the guest and writes all of it.
pub(super) fn suspend(monitor: &mut Monitor, pid: u32, state: &Path) -> Result<(), EngineError> {
    let part = part_of(state);
    let failed = || EngineError::io(format!("write {}", part.display()));
    let names_memory = has_named_memory(&monitor.execute("query-memdev")?);
    if !names_memory {
        return Err(EngineError::Saved {
            attempt: "suspend",
            reason: "an older banger started it; it can be suspended after a restart".to_owned(),
        });
    }
    // Of a daemon that died over it.
    monitor.execute("migrate_cancel")?;
    unless_absent(std::fs::remove_file(&part)).map_err(failed())?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .map_err(failed())?;
    let memory = monitor.execute("query-memory-size-summary")?;
    let memory = memory.get("base-memory").and_then(Value::as_u64);
    limit::raise(pid, memory.unwrap_or(0).saturating_add(BESIDE_MEMORY))?;
    // A guest that woke was loaded without its memory, and QEMU remembers that.
    saved::memory_apart(monitor, false)?;
    monitor.execute("stop")?;
    let fast = json!({ "max-bandwidth": BANDWIDTH });
    monitor.execute_with("migrate-set-parameters", &fast)?;
    let written = saved::write(monitor, file.as_fd(), "suspend");
    let named = written.and_then(|()| {
        file.sync_all().map_err(failed())?;
        std::fs::rename(&part, state).map_err(failed())?;
        sync_folder(state)
    });
    if named.is_err() {
        forget(state);
    }
    named
}

/// Lets a guest run on that is not suspended after all. No file of it stays.
pub(super) fn give_up(monitor: &mut Monitor) -> Result<(), EngineError> {
    monitor.execute("migrate_cancel")?;
    monitor.execute("cont").map(drop)
}

/// Removes what was written; what cannot be removed is removed by the next attempt, or with the VM.
fn forget(state: &Path) {
    for file in [state, &part_of(state)] {
        if let Err(error) = unless_absent(std::fs::remove_file(file)) {
            tracing::warn!(file = %file.display(), %error, "a part of a guest's memory stays");
        }
    }
}

/// Removes the file of a guest that is loaded, durably: it is about to run.
pub(super) fn spend(state: &Path) -> Result<(), EngineError> {
    let failed = EngineError::io(format!("remove {}", state.display()));
    std::fs::remove_file(state).map_err(failed)?;
    sync_folder(state)
}

fn sync_folder(file: &Path) -> Result<(), EngineError> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(EngineError::io(format!("sync {}", folder.display())))
}

fn part_of(state: &Path) -> PathBuf {
    state.with_extension("part")
}

fn unless_absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Tells whether the memory has the name that a state is loaded under (`query-memdev`): launches of older builds have another.
fn has_named_memory(backends: &Value) -> bool {
    let mut ids = backends
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|backend| backend.get("id")?.as_str());
    ids.any(|id| id == super::command_line::MEMORY_ID)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_older_launches_is_told_apart_by_its_name() {
        assert!(has_named_memory(&json!([{ "id": "ram", "size": 1 }])));
        for other in [
            json!([{ "id": "pc.ram" }]),
            json!([{ "size": 1 }]),
            json!([]),
            json!(null),
        ] {
            assert!(!has_named_memory(&other), "{other}");
        }
    }

    #[test]
    fn a_file_that_is_spent_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("suspended.state");
        std::fs::write(&state, "all").unwrap();
        spend(&state).unwrap();
        assert!(!state.exists());
        assert!(spend(&state).is_err(), "it would run a second time");
    }
}
