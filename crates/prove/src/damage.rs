//! Damage to stored data: as an older or newer build, or a bad disk, might have left it.

use banger_api::{ApiError, ErrorCode};
use banger_ops::{HostResult, store_error};
use banger_store::{operation, vm};

use crate::daemon::Daemon;
use crate::fault::{Faults, Mode};

/// Actions of a plan that are done when it is cut off: some of its steps, not all.
const ACTIONS: u64 = 6;
/// An unfinished plan gets a version that no build writes for a long time.
pub(crate) const NEWER: &str = "version = 999, plan = json_set(plan, '$.version', 999)";
/// The paths of an unfinished plan lead elsewhere.
pub(crate) const OUTSIDE: &str = "plan = replace(plan, '/s/vms/', '/home/me/')";

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

/// Renames a field of a VM's record: the whole row cannot be read.
pub(crate) fn row(daemon: &Daemon, name: &str) -> HostResult<()> {
    strange(daemon, name)?;
    change(
        daemon,
        "UPDATE vms SET record = replace(record, '\"vcpu\":', '\"cpus\":') WHERE name = ?1",
        name,
    )
}

/// Lets the daemon die in the middle of what it does to a VM, and `becomes` happen to the plan of it.
pub(crate) fn plan_cut_off(
    daemon: &Daemon,
    name: &str,
    becomes: &str,
    act: impl FnOnce(&Daemon) -> HostResult<()>,
) -> HostResult<()> {
    let id = strange(daemon, name)?;
    {
        let mut world = daemon.machine.world();
        let at = world.actions + ACTIONS;
        world.faults = Faults::At(at, Mode::CrashBefore);
    }
    let _died = act(daemon);
    {
        let mut world = daemon.machine.world();
        world.faults = Faults::None;
        world.dead = false;
    }
    let id = id.to_string();
    let sql = format!(
        "UPDATE plans SET {becomes} WHERE finished = 0 AND json_extract(plan, '$.vm') = ?1"
    );
    change(daemon, &sql, &id)?;
    let plans = daemon.read(operation::unfinished_plans)?;
    let Some(plan) = plans.first().map(|plan| plan.id) else {
        let message = "no plan was cut off";
        return Err(ApiError::new(ErrorCode::Internal, message));
    };
    let journal = daemon.read(|db| operation::steps(db, plan))?;
    let steps = journal.iter().map(|step| (step.n, step.state)).collect();
    daemon.machine.world().ledger.newer = Some((plan, steps));
    Ok(())
}

/// Notes that a VM is not to be understood from now on.
fn strange(daemon: &Daemon, name: &str) -> HostResult<banger_api::VmId> {
    let found = daemon.read(|db| vm::by_name(db, name))?;
    let gone = || ApiError::new(ErrorCode::NotFound, format!("no VM is called {name}"));
    let id = found.ok_or_else(gone)?.id;
    daemon.machine.world().ledger.strange.insert(id);
    Ok(id)
}

fn change(daemon: &Daemon, sql: &str, value: &str) -> HostResult<()> {
    let (sql, value) = (sql.to_owned(), value.to_owned());
    let store = daemon.machine.store().map_err(store_error)?;
    let changed = store
        .write(move |tx| Ok(tx.execute(&sql, [value])?))
        .map_err(store_error)?;
    match changed {
        0 => Err(ApiError::new(ErrorCode::Internal, "nothing was damaged")),
        _ => Ok(()),
    }
}
