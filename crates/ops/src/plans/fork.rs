//! A VM whose disks begin as another's were at a checkpoint.
//!
//! ```text
//! fork  Back  row, directory, host key, tops over the checkpoint's layers, the clients' records of that moment
//! ```
//! Nothing is copied: both VMs read the same layers, which go when nobody needs them any more.

use banger_api::OperationId;
use banger_store::VmRecord;

use super::checkpoint::tops;
use super::vm::new_vm;
use crate::layout::LayerFiles;
use crate::steps::{CopyWorkspaces, SyncFiles};
use crate::{Plan, VmFiles};

/// Makes the VM of this record, whose disks lie over `layer` and those below it.
pub fn fork(op: OperationId, vm: &VmRecord, files: &VmFiles, layer: &LayerFiles) -> Plan {
    let mut plan = new_vm(op, vm, files);
    plan.steps.push(
        CopyWorkspaces {
            from: layer.workspaces(),
            to: files.workspaces(),
        }
        .into(),
    );
    plan.steps
        .extend(tops(files, (vm.overlay_bytes, vm.disk_bytes)));
    plan.steps.push(
        SyncFiles {
            dir: files.state.to_path_buf(),
            files: vec![files.ssh_host_key()],
        }
        .into(),
    );
    plan
}
