//! Checkpoints of VMs.
//!
//! ```text
//! checkpoint  Back     layer, both disks named there too, new tops under the names that are free; then at one moment: the row, the
//!                      layer's claim goes over to the layer, and the new tops are the VM's disks
//! layer       Back     the same of a VM that runs, but for the last: it writes to its disks still
//! switch      Forward  its guest writes to the tops from one moment on; with it they are the VM's disks, and the row is there
//! tops        Back     new tops under the names that are free
//! restore     Forward  at once they are the VM's disks, over a checkpoint's layers; the other names are gone, and the clients' records
//!                      are those of the checkpoint
//! tidy        Forward  the names that are not the VM's are gone
//! delete      Forward  row gone at once                                        (layers are counted, and go when nobody needs them)
//! no layer    Forward  what nobody needs goes over to the operation; directory gone
//! ```
//!
//! Until its moment a plan has touched nothing that the VM has: undone, it removes what it made.

use std::path::PathBuf;

use banger_api::{LayerId, OperationId, VmId};
use banger_engine::VmmIdentity;
use banger_store::{CheckpointRecord, Owner, VmDisks, VmRecord};

use crate::layout::LayerFiles;
use crate::steps::{
    CopyWorkspaces, DirectoryStage, FreezeDisk, MakeDirectory, MakeTop, RemoveDirectory,
    RemoveFile, SwitchDisks, SyncFiles, TopOf,
};
use crate::{Change, Direction, OwnDir, Plan, PlanKind, Step, VmFiles};

/// Steps that make the disks under the names of `files`.
pub(super) fn tops(files: &VmFiles, (overlay_bytes, disk_bytes): (u64, u64)) -> Vec<Step> {
    let top = |path: PathBuf, bytes| -> Step { MakeTop { path, bytes }.into() };
    let (system, work) = (files.system_overlay(), files.work_disk());
    vec![
        top(system.clone(), overlay_bytes),
        top(work.clone(), disk_bytes),
        SyncFiles {
            dir: files.state.to_path_buf(),
            files: vec![system, work],
        }
        .into(),
    ]
}

/// Steps that give the disks of a VM a second name in `layer`, and make others under the names that are free.
fn freeze(vm: &VmRecord, files: &VmFiles, layer: &LayerFiles) -> Vec<Step> {
    let freeze = |from, to| -> Step { FreezeDisk { from, to }.into() };
    let (system, work) = (layer.system(), layer.work());
    let mut steps = vec![
        MakeDirectory {
            path: layer.dir.clone(),
            stage: DirectoryStage::Reserve,
        }
        .into(),
        freeze(files.system_overlay(), system.clone()),
        freeze(files.work_disk(), work.clone()),
        CopyWorkspaces {
            from: files.workspaces(),
            to: layer.workspaces(),
        }
        .into(),
        SyncFiles {
            dir: layer.dir.to_path_buf(),
            files: vec![system, work],
        }
        .into(),
    ];
    let bytes = (vm.overlay_bytes, vm.disk_bytes);
    steps.extend(tops(&files.other(), bytes));
    steps
}

/// Makes the layer and the other disks of a VM that runs. It writes to its disks still, which have a second name in the layer.
pub fn make_layer(op: OperationId, vm: &VmRecord, files: &VmFiles, layer: &LayerFiles) -> Plan {
    let owner = Owner::Vm(vm.id);
    let mut plan = Plan::of_vm(op, PlanKind::MakeLayer, vm.id, Direction::Back);
    plan.steps = freeze(vm, files, layer);
    plan.done = vec![
        Change::Transfer {
            claim: layer.dir.claim(),
            from: owner,
            to: Owner::Layer(layer.id),
        },
        Change::SetDisks {
            vm: vm.id,
            disks: VmDisks {
                pending: Some(layer.id),
                ..vm.disks.clone()
            },
        },
    ];
    plan
}

/// Lets the guest of a VM that runs in `vmm` write on over its disks, which are the checkpoint's from that moment on.
pub fn switch(
    op: OperationId,
    vm: &VmRecord,
    vmm: VmmIdentity,
    files: &VmFiles,
    layer: &LayerFiles,
    checkpoint: CheckpointRecord,
    [system, work]: [&str; 2],
) -> Plan {
    let mut plan = Plan::of_vm(op, PlanKind::SwitchDisks, vm.id, Direction::Forward);
    let new = files.other();
    let top = |serial: &str, from, to| TopOf {
        serial: serial.to_owned(),
        from,
        to,
    };
    plan.steps = vec![
        SwitchDisks {
            vm: vm.id,
            vmm,
            layer: layer.id,
            tops: vec![
                top(system, files.system_overlay(), new.system_overlay()),
                top(work, files.work_disk(), new.work_disk()),
            ],
            disks: VmDisks {
                names: new.names,
                layers: checkpoint.layers.clone(),
                checkpoint: Some(checkpoint.id),
                pending: None,
            },
            before: VmDisks {
                pending: None,
                ..vm.disks.clone()
            },
            checkpoint: Box::new(checkpoint),
        }
        .into(),
        SyncFiles {
            dir: layer.dir.to_path_buf(),
            files: vec![layer.system(), layer.work()],
        }
        .into(),
    ];
    plan
}

/// Keeps the disks of a VM that does not run as `checkpoint`, whose last layer is new. `names` are those of the VM now.
pub fn checkpoint(
    op: OperationId,
    vm: &VmRecord,
    files: &VmFiles,
    layer: &LayerFiles,
    checkpoint: CheckpointRecord,
) -> Plan {
    let owner = Owner::Vm(vm.id);
    let mut plan = Plan::of_vm(op, PlanKind::CheckpointVm, vm.id, Direction::Back);
    plan.steps = freeze(vm, files, layer);
    let new = files.other();
    plan.done = vec![
        Change::Transfer {
            claim: layer.dir.claim(),
            from: owner,
            to: Owner::Layer(layer.id),
        },
        Change::SetDisks {
            vm: vm.id,
            disks: VmDisks {
                names: new.names,
                layers: checkpoint.layers.clone(),
                checkpoint: Some(checkpoint.id),
                pending: None,
            },
        },
        Change::InsertCheckpoint(Box::new(checkpoint)),
    ];
    plan
}

/// Makes the disks with which a VM that does not run goes back to a checkpoint. A work disk that has grown since stays as large.
pub fn make_tops(
    op: OperationId,
    vm: &VmRecord,
    files: &VmFiles,
    checkpoint: &CheckpointRecord,
) -> Plan {
    let mut plan = Plan::of_vm(op, PlanKind::MakeTops, vm.id, Direction::Back);
    let bytes = (
        vm.overlay_bytes.max(checkpoint.overlay_bytes),
        vm.disk_bytes.max(checkpoint.disk_bytes),
    );
    plan.steps = tops(&files.other(), bytes);
    plan
}

/// Lets those be the disks of the VM. What they were is lost, unless a checkpoint has it.
pub fn restore(
    op: OperationId,
    vm: &VmRecord,
    files: &VmFiles,
    checkpoint: &CheckpointRecord,
    layer: &LayerFiles,
) -> Plan {
    let new = files.other();
    let mut plan = tidy(op, vm.id, &new);
    plan.kind = PlanKind::RestoreVm;
    plan.begin = vec![Change::SetDisks {
        vm: vm.id,
        disks: VmDisks {
            names: new.names,
            layers: checkpoint.layers.clone(),
            checkpoint: Some(checkpoint.id),
            pending: None,
        },
    }];
    plan.steps.push(
        CopyWorkspaces {
            from: layer.workspaces(),
            to: new.workspaces(),
        }
        .into(),
    );
    plan
}

/// Removal of the names that are not the VM's: what a switch of its disks has left.
pub(super) fn spare_names(files: &VmFiles) -> impl Iterator<Item = Step> {
    let spare = files.spare_disks().into_iter();
    spare.map(|path| RemoveFile { path }.into())
}

/// Removes what a switch of a VM's disks has left.
pub fn tidy(op: OperationId, vm: VmId, files: &VmFiles) -> Plan {
    let mut plan = Plan::of_vm(op, PlanKind::RemoveOldDisks, vm, Direction::Forward);
    plan.steps = spare_names(files).collect();
    plan
}

/// Removes a checkpoint's row.
pub fn delete_checkpoint(op: OperationId, checkpoint: &CheckpointRecord) -> Plan {
    let (vm, owner) = (checkpoint.vm, Owner::Operation(op));
    let kind = PlanKind::DeleteCheckpoint;
    let mut plan = Plan::new(op, kind, Some(vm), owner, Direction::Forward);
    plan.begin = vec![Change::DeleteCheckpoint(checkpoint.id)];
    plan
}

/// Removes a layer that nobody needs.
pub fn delete_layer(op: OperationId, layer: LayerId, path: OwnDir) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(
        op,
        PlanKind::DeleteLayer,
        None,
        owner.clone(),
        Direction::Forward,
    );
    plan.begin = vec![
        Change::Unused(Owner::Layer(layer)),
        Change::Transfer {
            claim: path.claim(),
            from: Owner::Layer(layer),
            to: owner,
        },
    ];
    plan.steps = vec![RemoveDirectory { path }.into()];
    plan
}
