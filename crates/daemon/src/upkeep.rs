//! What is done now and then: console logs are kept small, old operations are forgotten.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use banger_api::vm::VmState;
use banger_store::{operation, vm};

use crate::context::Daemon;
use crate::operations::now_ms;

/// How often.
const INTERVAL: Duration = Duration::from_secs(10);
/// A console log that holds more on the disk gives its start back, in bytes.
const CONSOLE_MAX: u64 = 8 << 20;
/// What stays of it, in bytes.
const CONSOLE_KEEP: u64 = 1 << 20;
/// How long finished operations are remembered, in ms: 30 days.
const OPERATIONS_KEPT_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// Rounds between two looks at old operations: an hour.
const TRIM_EVERY: u32 = 360;

/// Runs for ever.
pub(crate) async fn upkeep(daemon: Daemon) {
    let mut rounds = 0_u32;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let task = daemon.clone();
        let trim = rounds.is_multiple_of(TRIM_EVERY);
        let done = tokio::task::spawn_blocking(move || round(&task, trim)).await;
        if let Err(error) = done {
            tracing::error!(%error, "upkeep failed");
        }
        rounds = rounds.wrapping_add(1);
    }
}

fn round(daemon: &Daemon, trim: bool) {
    let Ok(vms) = daemon.read(vm::list) else {
        return;
    };
    for record in vms.iter().filter(|vm| vm.state == VmState::Running) {
        let log = daemon.paths.vm(record.id).console_log();
        if let Err(error) = bound_console(&log) {
            tracing::warn!(vm = %record.name, %error, "cannot shorten a console log");
        }
    }
    if trim {
        let before = now_ms() - OPERATIONS_KEPT_MS;
        if let Err(error) = daemon.store.write(move |tx| operation::trim(tx, before)) {
            tracing::warn!(%error, "cannot forget old operations");
        }
    }
}

/// A guest may write to its console without end. The VMM appends, so the file cannot be cut; its start is given back to
/// the disk as a hole instead (fallocate(2), `FALLOC_FL_PUNCH_HOLE`).
fn bound_console(log: &Path) -> std::io::Result<()> {
    let allocated = banger_disk::sparse::allocated_bytes(log).map_err(std::io::Error::other)?;
    if allocated <= CONSOLE_MAX {
        return Ok(());
    }
    let file = File::options().write(true).open(log)?;
    let end = file.metadata()?.len();
    banger_disk::sparse::punch_hole(&file, 0, end.saturating_sub(CONSOLE_KEEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_console_log_keeps_only_its_end_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        std::fs::write(&log, vec![b'x'; 10 << 20]).unwrap();
        bound_console(&log).unwrap();
        assert!(banger_disk::sparse::allocated_bytes(&log).unwrap() <= 2 * CONSOLE_KEEP);
        let text = std::fs::read(&log).unwrap();
        assert_eq!(text.len(), 10 << 20);
        assert_eq!(text[text.len() - 1], b'x');
    }
}
