//! A guest that writes on over its disks while it runs.

use std::path::PathBuf;
use std::time::Duration;

use banger_api::{LayerId, VmId};
use banger_engine::VmmIdentity;
use banger_store::{CheckpointRecord, VmDisks};
use serde::{Deserialize, Serialize};

use crate::{Change, HostResult, StepBody, StepCx};

/// Time for a guest to write its disks, and for its VMM to switch them.
const DEADLINE: Duration = Duration::from_secs(60);

/// A disk and the top over which its guest is to write on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopOf {
    /// The disk's serial number.
    pub serial: String,
    /// Its file.
    pub from: PathBuf,
    /// The top's file, with nothing in it.
    pub to: PathBuf,
}

/// Outcome of a switch of disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switched {
    /// From some moment on the guest writes to the tops, or nobody writes to its disks any more.
    Yes,
    /// It writes to its disks as before.
    No,
}

/// Switches the disks of a running VM to tops, at one moment, and writes down that they are its disks. Never undone: as soon as a
/// guest may have written to its tops, they are its disks, whatever becomes of the operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwitchDisks {
    /// The VM.
    pub vm: VmId,
    /// Its VMM.
    pub vmm: VmmIdentity,
    /// The new layer, which gives the switch its name.
    pub layer: LayerId,
    /// The disks.
    pub tops: Vec<TopOf>,
    /// The VM's disks when they are switched.
    pub disks: VmDisks,
    /// The VM's disks when they are not.
    pub before: VmDisks,
    /// The checkpoint that this makes.
    pub checkpoint: Box<CheckpointRecord>,
}

impl StepBody for SwitchDisks {
    fn stage(&self) -> &'static str {
        "switch_disks"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        let disks = |disks: &VmDisks| Change::SetDisks {
            vm: self.vm,
            disks: disks.clone(),
        };
        let switched = cx.host.switch_disks(
            self.vm, &self.vmm, self.layer, &self.tops, DEADLINE, cx.events,
        )?;
        Ok(match switched {
            Switched::Yes => vec![
                disks(&self.disks),
                Change::InsertCheckpoint(self.checkpoint.clone()),
            ],
            Switched::No => vec![disks(&self.before)],
        })
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}
