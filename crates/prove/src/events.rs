//! The rule of the log of events: who has read all of it knows what there is.

use std::collections::{BTreeMap, BTreeSet};

use banger_api::event::Change;
use banger_api::vm::VmState;
use banger_api::{OperationId, VmId};
use banger_ops::HostResult;
use banger_store::{ImageRecord, KernelRecord, VmRecord, event, operation};

use crate::daemon::Daemon;

/// Events that are read: more than a case has.
const MANY: u32 = 10_000;

/// State of an installation as far as events tell it.
#[derive(Debug, Default)]
struct Told {
    vms: BTreeMap<VmId, (String, VmState)>,
    images: BTreeSet<(String, String)>,
    kernels: BTreeSet<(String, String)>,
    running: BTreeSet<OperationId>,
    wrong: Vec<String>,
}

impl Told {
    fn take(&mut self, change: Change) {
        match change {
            Change::VmCreated { vm, name, state } => {
                self.vms.insert(vm, (name, state));
            }
            Change::VmState { vm, from, to, .. } => match self.vms.get_mut(&vm) {
                Some((_, state)) if *state == from => *state = to,
                other => {
                    let what = format!("a VM went from {from:?} to {to:?}, and was {other:?}");
                    self.wrong.push(what);
                }
            },
            Change::VmRenamed { vm, name, .. } => {
                if let Some((before, _)) = self.vms.get_mut(&vm) {
                    *before = name;
                }
            }
            Change::VmDeleted { vm, .. } => {
                self.vms.remove(&vm);
            }
            Change::OperationBegan { operation, .. } => {
                self.running.insert(operation);
            }
            Change::OperationEnded { operation, .. } => {
                if !self.running.remove(&operation) {
                    let what = format!("operation {operation} ended twice, or never began");
                    self.wrong.push(what);
                }
            }
            Change::ImageAdded { image, digest } => {
                self.images.insert((image, digest));
            }
            Change::ImageRemoved { image, digest } => {
                self.images.remove(&(image, digest));
            }
            Change::KernelAdded { kernel, digest } => {
                self.kernels.insert((kernel, digest));
            }
            Change::KernelRemoved { kernel, digest } => {
                self.kernels.remove(&(kernel, digest));
            }
            Change::EventsForgotten | Change::Unknown => {
                self.wrong.push("an event cannot be read".to_owned());
            }
        }
    }
}

/// Differences between what events tell and what there is.
pub(crate) fn violations(
    daemon: &Daemon,
    vms: &[VmRecord],
    images: &[ImageRecord],
    kernels: &[KernelRecord],
) -> HostResult<Vec<String>> {
    let mut told = Told::default();
    for event in daemon.read(|db| event::after(db, 0, None, MANY))? {
        told.take(event.change);
    }
    let mut wrong = std::mem::take(&mut told.wrong);
    // Of a damaged row, the columns say other things than the record that is shown for it.
    let damaged = |id: &VmId| vms.iter().any(|vm| vm.id == *id && vm.damage.is_some());
    told.vms.retain(|id, _| !damaged(id));
    let there: BTreeMap<VmId, (String, VmState)> = vms
        .iter()
        .filter(|vm| vm.damage.is_none())
        .map(|vm| (vm.id, (vm.name.to_string(), vm.state)))
        .collect();
    if told.vms != there {
        wrong.push(format!(
            "events tell of VMs {:?}, there are {there:?}",
            told.vms
        ));
    }
    let named = images
        .iter()
        .map(|i| (i.name.to_string(), i.digest.to_string()));
    compare("images", &told.images, named.collect(), &mut wrong);
    let named = kernels
        .iter()
        .map(|k| (k.name.to_string(), k.digest.to_string()));
    compare("kernels", &told.kernels, named.collect(), &mut wrong);
    let operations = daemon.read(|db| operation::operations(db, None, MANY))?;
    let running = operations.iter().filter(|op| op.finished_ms.is_none());
    let running: BTreeSet<OperationId> = running.map(|op| op.id).collect();
    if told.running != running {
        wrong.push("events tell of other operations under way than there are".to_owned());
    }
    Ok(wrong)
}

fn compare(
    what: &str,
    told: &BTreeSet<(String, String)>,
    there: BTreeSet<(String, String)>,
    wrong: &mut Vec<String>,
) {
    if *told != there {
        wrong.push(format!(
            "events tell of {what} {told:?}, there are {there:?}"
        ));
    }
}
