//! Damage to stored data: as an older or newer build, or a bad disk, might have left it.

use banger_ops::{HostResult, store_error};

use crate::daemon::Daemon;

/// Renames a field of a VM's recorded identity: the same as a new required field after an upgrade.
pub(crate) fn identity(daemon: &Daemon, name: &str) -> HostResult<()> {
    let name = name.to_owned();
    daemon
        .machine
        .store()
        .map_err(store_error)?
        .write(move |tx| {
            let sql = "UPDATE vms SET record = replace(record, '\"pid\":', '\"process\":') WHERE name = ?1";
            tx.execute(sql, [name])?;
            Ok(())
        })
        .map_err(store_error)
}
