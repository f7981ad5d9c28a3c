//! Bugs in what a daemon does before its first request.

use banger_control::Control;
use banger_ops::{HostResult, Recovered, store_error};
use banger_prove::Tamper;
use banger_store::vm;

/// The planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryBug {
    /// One row that cannot be read is an error of the whole recovery.
    StopAtADamagedRow,
    /// A row that cannot be read is not spoken of.
    PassOverADamagedRow,
    /// Plans of a newer build are taken for plans of this one.
    RunANewerPlan,
    /// A guest that was rebooting when the daemon died is left alone.
    LeaveRebootsUndone,
    /// One kind of change is not told in the log of events.
    SilenceAnEvent,
    /// A daemon begins while the one before it is still at work.
    HandOverInMidPlan,
}

impl Tamper for RecoveryBug {
    fn recover(&self, control: &Control) -> HostResult<Recovered> {
        match self {
            Self::StopAtADamagedRow => {
                let vms = control.read(vm::list)?;
                let damaged = vms.into_iter().find_map(|vm| vm.damage);
                if let Some(why) = damaged {
                    let code = banger_api::ErrorCode::Internal;
                    return Err(banger_api::ApiError::new(code, why));
                }
            }
            Self::RunANewerPlan => control
                .store()
                .write(|tx| {
                    let sql = "UPDATE plans SET version = 2, plan = json_set(plan, '$.version', 2) WHERE finished = 0";
                    tx.execute(sql, [])?;
                    Ok(())
                })
                .map_err(store_error)?,
            Self::SilenceAnEvent => control
                .store()
                .write(|tx| Ok(tx.execute_batch("DROP TRIGGER IF EXISTS event_vm_deleted")?))
                .map_err(store_error)?,
            Self::LeaveRebootsUndone => control
                .store()
                .write(|tx| {
                    let sql = "UPDATE vms SET record = json_set(record, '$.reboots.due', json('false'))";
                    tx.execute(sql, [])?;
                    Ok(())
                })
                .map_err(store_error)?,
            Self::PassOverADamagedRow | Self::HandOverInMidPlan => {}
        }
        let mut recovered = banger_control::recover(control)?;
        if *self == Self::PassOverADamagedRow {
            recovered.failed.clear();
        }
        Ok(recovered)
    }

    fn waits_for_the_older_daemon(&self) -> bool {
        *self != Self::HandOverInMidPlan
    }
}
