//! A VM whose disks begin as another's were at a checkpoint.
//!
//! ```text
//! fork  Back  row, directory, host key, tops over the checkpoint's layers, the clients' records of that moment
//! ```
//! Nothing is copied: both VMs read the same layers, which go when nobody needs them any more.

use banger_api::OperationId;
use banger_store::{Owner, VmRecord};

use super::checkpoint::tops;
use crate::layout::LayerFiles;
use crate::steps::{CopyWorkspaces, DirectoryStage, MakeDirectory, MakeSshHostKey, SyncFiles};
use crate::{Change, Direction, Ending, Plan, PlanKind, VmFiles};

/// Makes the VM of this record, whose disks lie over `layer` and those below it.
pub fn fork(op: OperationId, vm: &VmRecord, files: &VmFiles, layer: &LayerFiles) -> Plan {
    let owner = Owner::Vm(vm.id);
    let mut plan = Plan::new(op, PlanKind::CreateVm, Some(vm.id), owner, Direction::Back);
    plan.begin = vec![
        Change::Named(Owner::Image(vm.image_digest)),
        Change::Named(Owner::Kernel(vm.kernel_digest)),
        Change::InsertVm(Box::new(vm.clone())),
    ];
    plan.steps = vec![
        MakeDirectory {
            path: files.state.clone(),
            stage: DirectoryStage::Reserve,
        }
        .into(),
        MakeSshHostKey {
            path: files.ssh_host_key(),
            vm: vm.name.clone(),
        }
        .into(),
        CopyWorkspaces {
            from: layer.workspaces(),
            to: files.workspaces(),
        }
        .into(),
    ];
    plan.steps
        .extend(tops(files, (vm.overlay_bytes, vm.disk_bytes)));
    plan.steps.push(
        SyncFiles {
            dir: files.state.to_path_buf(),
            files: vec![files.ssh_host_key()],
        }
        .into(),
    );
    plan.ending = Some(Ending::Forget);
    plan
}
