//! Plans of one VM.
//!
//! ```text
//! create  Back     directory, host key, system overlay, work disk, sync
//! start   Back     run directory, grown disks, initramfs, (a template's memory,) VMM, its network, guest
//! grow    Back     grown work disk, the same in the guest that runs
//! network Back     another network process in the place of one that ended
//! stop    Forward  guest down, network and VMM gone, run directory gone
//! suspend Back     memory on the disk; then Forward: network and VMM gone, run directory gone
//! kill    Forward  network and VMM gone, run directory gone
//! delete  Forward  network and VMM gone, run directory gone, overlay, …, the work disk last, row gone
//! ```

use std::path::PathBuf;

use banger_api::vm::{NetStack, VmState};
use banger_api::{ExitCause, OperationId};
use banger_engine::{Memory, VmmIdentity, VmmSpec};
use banger_store::{Owner, VmRecord};
use uuid::Uuid;

use super::checkpoint::spare_names;
use crate::layout::SUSPENDED;
use crate::policy::{self, AfterExit};
use crate::steps::{
    ConfigureGuest, CopyMemory, DirectoryStage, EndNet, EndVmm, GreetGuest, GrowFile,
    GrowRunningDisk, GrowTop, LaunchNet, LaunchVmm, MakeDirectory, MakeInitramfs, MakeSshHostKey,
    MakeSystemOverlay, MakeWorkDisk, NetLaunch, RemoveDirectory, RemoveFile, ReplaceNet,
    ShutdownGuest, SuspendGuest, SyncFiles, WorkDiskSource,
};
use crate::{
    BlankDiskSpec, Change, Direction, Ending, GuestSetup, Plan, PlanKind, TemplateFiles, VmFiles,
};

/// `SIGKILL`'s number.
const SIGKILL: i32 = 9;

/// The VMM that a record names, when its identity can be read.
pub fn identity(vm: &VmRecord) -> Option<VmmIdentity> {
    vm.vmm.identity().cloned()
}

/// Sources of a VM's disks.
#[derive(Debug, Clone)]
pub struct CreateDisks {
    /// The image's work seed and the size of its file system in bytes.
    pub seed: Option<(PathBuf, u64)>,
}

/// Makes a VM as far as all are made alike: its row, its directory and its key. Its disks follow.
pub(super) fn new_vm(op: OperationId, vm: &VmRecord, files: &VmFiles) -> Plan {
    let mut plan = Plan::of_vm(op, PlanKind::CreateVm, vm.id, Direction::Back);
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
    ];
    plan.ending = Some(Ending::Forget);
    plan
}

/// Makes a VM: its row, its directory, its disks.
pub fn create(op: OperationId, vm: &VmRecord, files: &VmFiles, disks: &CreateDisks) -> Plan {
    let mut plan = new_vm(op, vm, files);
    let blank = |bytes, label: &str| BlankDiskSpec {
        bytes,
        label: label.to_owned(),
        uuid: Uuid::new_v4(),
    };
    let source = match &disks.seed {
        Some((path, bytes)) => WorkDiskSource::Seed {
            path: path.clone(),
            bytes: *bytes,
        },
        None => WorkDiskSource::Blank(blank(vm.disk_bytes, "banger-work")),
    };
    plan.steps.extend([
        MakeSystemOverlay {
            path: files.system_overlay(),
            disk: blank(vm.overlay_bytes, "banger-system"),
        }
        .into(),
        MakeWorkDisk {
            path: files.work_disk(),
            source,
            bytes: vm.disk_bytes,
        }
        .into(),
        SyncFiles {
            dir: files.state.to_path_buf(),
            files: vec![
                files.ssh_host_key(),
                files.system_overlay(),
                files.work_disk(),
            ],
        }
        .into(),
    ]);
    plan
}

/// Inputs of a start beyond the record.
#[derive(Debug, Clone)]
pub struct StartVm {
    /// The VMM. Its `dir` is the VM's run directory.
    pub spec: VmmSpec,
    /// Its network process, when it has one.
    pub network: Option<NetLaunch>,
    /// Configuration of the guest.
    pub setup: GuestSetup,
    /// The kernel's directory, for an initramfs that is not there yet.
    pub kernel_dir: PathBuf,
    /// Time for the guest to become reachable, in ms.
    pub boot_deadline_ms: u64,
    /// Grow the work disk's file to this size in bytes before.
    pub grow_work_disk: Option<u64>,
    /// The initramfs is not there yet.
    pub make_initramfs: bool,
    /// A saved memory is there that nobody goes on from: it goes before the guest runs.
    pub forget_memory: bool,
    /// The template from which the VM wakes, instead of booting.
    pub template: Option<TemplateFiles>,
}

/// Boots a VM.
pub fn start(op: OperationId, vm: &VmRecord, files: &VmFiles, start: &StartVm) -> Plan {
    let mut plan = Plan::of_vm(op, PlanKind::StartVm, vm.id, Direction::Back);
    plan.begin = vec![Change::SetVmState {
        vm: vm.id,
        state: VmState::Starting,
        error: None,
    }];
    if vm.vmm.is_some() || vm.network.process.is_some() {
        // What a stop could not end is ended first: two VMMs of one VM would share its disks.
        plan.steps = end_steps(vm, files, SIGKILL);
    }
    if start.forget_memory {
        plan.steps.push(forget(files));
    }
    if start.make_initramfs {
        let path = start.spec.initramfs.clone();
        plan.steps.push(
            MakeInitramfs {
                kernel_dir: start.kernel_dir.clone(),
                path,
            }
            .into(),
        );
    }
    let layered = !vm.disks.layers.is_empty();
    if let Some(bytes) = start.grow_work_disk {
        let path = files.work_disk();
        plan.steps.push(match layered {
            true => GrowTop { path, bytes }.into(),
            false => GrowFile { path, bytes }.into(),
        });
    }
    if layered {
        // A daemon that died may have left them.
        plan.steps.extend(spare_names(files));
    }
    plan.steps.extend([MakeDirectory {
        path: files.run.clone(),
        stage: DirectoryStage::Reserve,
    }
    .into()]);
    let copy = start.template.clone().map(|from| CopyMemory {
        from,
        to: files.woken_memory(),
    });
    plan.steps.extend(copy.map(crate::Step::from));
    plan.steps.push(
        LaunchVmm {
            vm: vm.id,
            spec: start.spec.clone(),
        }
        .into(),
    );
    let network = start.network.clone().map(|launch| LaunchNet {
        vm: vm.id,
        launch,
        vmm: start.spec.launch_token.clone(),
    });
    plan.steps.extend(network.map(crate::Step::from));
    let goes_on = matches!(start.spec.memory, Memory::Suspended { .. });
    plan.steps.push(if goes_on {
        GreetGuest {
            vm: vm.id,
            launch_token: start.spec.launch_token.clone(),
            dir: start.spec.dir.clone(),
            deadline_ms: start.boot_deadline_ms,
        }
        .into()
    } else {
        ConfigureGuest {
            setup: start.setup.clone(),
            launch_token: start.spec.launch_token.clone(),
            dir: start.spec.dir.clone(),
            deadline_ms: start.boot_deadline_ms,
        }
        .into()
    });
    plan.done = vec![Change::SetVmState {
        vm: vm.id,
        state: VmState::Running,
        error: None,
    }];
    let before = match vm.state {
        kept @ (VmState::Created | VmState::Suspended) => kept,
        _ => VmState::Stopped,
    };
    plan.ending = Some(match start.template {
        None if !goes_on => Ending::Keep(before),
        _ => Ending::Again(before),
    });
    plan
}

/// Removes the saved memory of a VM.
fn forget(files: &VmFiles) -> crate::Step {
    let path = files.state.file(SUSPENDED);
    RemoveFile { path }.into()
}

fn end_steps(vm: &VmRecord, files: &VmFiles, signal: i32) -> Vec<crate::Step> {
    let vmm = identity(vm);
    let launch_token = vmm.as_ref().map(|vmm| vmm.launch_token.clone());
    // Of a record that cannot be read it is not known either.
    let has_net =
        vm.network.stack == NetStack::Own || vm.network.process.is_some() || vm.damage.is_some();
    let net = has_net.then(|| EndNet {
        vm: vm.id,
        net: vm.network.process.clone(),
        dir: files.run.to_path_buf(),
    });
    let mut steps: Vec<crate::Step> = net.into_iter().map(Into::into).collect();
    steps.extend([
        EndVmm {
            vm: vm.id,
            vmm,
            dir: files.run.to_path_buf(),
            launch_token,
            signal,
        }
        .into(),
        RemoveDirectory {
            path: files.run.clone(),
        }
        .into(),
    ]);
    steps
}

/// Starts another network process for a VM that runs in `vmm`. It stays running whatever becomes of this.
pub fn replace_net(op: OperationId, vm: &VmRecord, vmm: &VmmIdentity, launch: NetLaunch) -> Plan {
    let id = vm.id;
    let mut plan = Plan::of_vm(op, PlanKind::ReplaceNet, id, Direction::Back);
    plan.steps = vec![
        ReplaceNet {
            vm: id,
            old: vm.network.process.clone(),
            launch,
            vmm: vmm.launch_token.clone(),
        }
        .into(),
    ];
    plan
}

fn forward(op: OperationId, kind: PlanKind, vm: &VmRecord, begin: VmState) -> Plan {
    let mut plan = Plan::of_vm(op, kind, vm.id, Direction::Forward);
    plan.begin = vec![Change::SetVmState {
        vm: vm.id,
        state: begin,
        error: None,
    }];
    plan.done = vec![Change::SetVmState {
        vm: vm.id,
        state: VmState::Stopped,
        error: None,
    }];
    plan
}

/// Stops a VM in order: the guest first, then, after `deadline_ms`, its VMM.
pub fn stop(op: OperationId, vm: &VmRecord, files: &VmFiles, deadline_ms: u64) -> Plan {
    let mut plan = forward(op, PlanKind::StopVm, vm, VmState::Stopping);
    if let Some(vmm) = identity(vm) {
        plan.steps.push(
            ShutdownGuest {
                vm: vm.id,
                vmm,
                deadline_ms,
            }
            .into(),
        );
    }
    plan.steps.extend(end_steps(vm, files, SIGKILL));
    plan
}

/// Ends a VM's VMM with a signal.
pub fn kill(op: OperationId, vm: &VmRecord, files: &VmFiles, signal: i32) -> Plan {
    let mut plan = forward(op, PlanKind::KillVm, vm, VmState::Stopping);
    plan.steps = end_steps(vm, files, signal);
    plan
}

/// Saves the memory of a VM that runs in `vmm`. Undone, the guest runs on.
pub fn suspend(op: OperationId, vm: &VmRecord, vmm: VmmIdentity, files: &VmFiles) -> Plan {
    let mut plan = Plan::of_vm(op, PlanKind::SuspendVm, vm.id, Direction::Back);
    plan.steps = vec![
        SuspendGuest {
            vm: vm.id,
            vmm,
            to: files.suspended(),
        }
        .into(),
    ];
    plan.done = vec![Change::SetVmState {
        vm: vm.id,
        state: VmState::Suspended,
        error: None,
    }];
    plan.ending = Some(Ending::Again(VmState::Running));
    plan
}

/// Ends the VMM of a VM that is suspended: its guest stands still.
pub fn end_suspended(op: OperationId, vm: &VmRecord, files: &VmFiles) -> Plan {
    let mut plan = forward(op, PlanKind::EndSuspended, vm, VmState::Suspended);
    plan.steps = end_steps(vm, files, SIGKILL);
    plan.done = vec![Change::SetVmState {
        vm: vm.id,
        state: VmState::Suspended,
        error: None,
    }];
    plan
}

/// Forgets the memory of a VM that is suspended: it boots from its disks the next time.
pub fn forget_memory(op: OperationId, vm: &VmRecord, files: &VmFiles) -> Plan {
    let mut plan = forward(op, PlanKind::KillVm, vm, VmState::Suspended);
    plan.steps = end_steps(vm, files, SIGKILL);
    plan.steps.push(forget(files));
    plan
}

/// Cleans up after a VMM that ended by itself, at `now_ms` (ms since 1970). `details` are told with the cause. A VM whose
/// guest rebooted is booted by the next plan, which is due as soon as this one has ended.
pub fn end_after_exit(
    vm: &VmRecord,
    files: &VmFiles,
    cause: &ExitCause,
    details: Option<&str>,
    now_ms: i64,
) -> Plan {
    let mut plan = forward(OperationId::new(), PlanKind::KillVm, vm, VmState::Stopping);
    plan.steps = end_steps(vm, files, SIGKILL);
    let after = policy::after_exit(vm, cause, now_ms);
    let state = match after {
        AfterExit::Stopped | AfterExit::Boot => VmState::Stopped,
        AfterExit::Error | AfterExit::RebootsTooOften => VmState::Error,
    };
    let error = match (after, details) {
        (AfterExit::RebootsTooOften, _) => format!(
            "{cause} {} times within a minute, and is not booted again",
            policy::TOO_MANY_REBOOTS
        ),
        (_, Some(details)) => format!("{cause}\n{details}"),
        (_, None) => cause.to_string(),
    };
    plan.done = vec![
        Change::SetVmState {
            vm: vm.id,
            state,
            error: Some(error),
        },
        Change::SetExit {
            vm: vm.id,
            exit: Some(cause.clone()),
        },
    ];
    match after {
        AfterExit::Boot => plan.done.push(Change::Rebooted {
            vm: vm.id,
            at_ms: now_ms,
        }),
        AfterExit::RebootsTooOften => plan.done.push(Change::StaysDown(vm.id)),
        AfterExit::Stopped | AfterExit::Error => {}
    }
    plan
}

/// Ends the VMM of a VM that does not run: a stop that could not end it gave up. The state and its error stay.
pub fn end_left_over(vm: &VmRecord, files: &VmFiles) -> Plan {
    let mut plan = forward(OperationId::new(), PlanKind::KillVm, vm, VmState::Stopping);
    plan.steps = end_steps(vm, files, SIGKILL);
    let state = match vm.state {
        VmState::Starting | VmState::Stopping | VmState::Running => VmState::Stopped,
        kept => kept,
    };
    plan.begin = Vec::new();
    plan.done = vec![
        Change::SetVmState {
            vm: vm.id,
            state,
            error: vm.error.clone(),
        },
        Change::SetExit {
            vm: vm.id,
            exit: vm.exit.clone(),
        },
    ];
    plan
}

/// Grows the work disk of a VM that runs, in its guest too. Undone it changes nothing but the length of a file, which a start
/// would not make shorter either; the VM runs on, whatever becomes of it.
pub fn grow_disk(
    op: OperationId,
    vm: &VmRecord,
    vmm: VmmIdentity,
    files: &VmFiles,
    bytes: u64,
) -> Plan {
    let mut plan = Plan::of_vm(op, PlanKind::GrowDisk, vm.id, Direction::Back);
    let path = files.work_disk();
    if vm.disks.layers.is_empty() {
        let path = path.clone();
        plan.steps.push(GrowFile { path, bytes }.into());
    }
    // A top's file is its VMM's alone, which grows it.
    plan.steps.push(
        GrowRunningDisk {
            vm: vm.id,
            vmm,
            path,
            bytes,
        }
        .into(),
    );
    plan.done = vec![Change::SetDisk { vm: vm.id, bytes }];
    plan
}

/// Removes a VM with all that it has. The work disk is the last file to go.
pub fn delete(op: OperationId, vm: &VmRecord, files: &VmFiles) -> Plan {
    let mut plan = forward(op, PlanKind::DeleteVm, vm, VmState::Deleting);
    plan.steps = end_steps(vm, files, SIGKILL);
    let removed = files.in_order_of_removal().into_iter();
    plan.steps
        .extend(removed.map(|path| RemoveFile { path }.into()));
    plan.steps.push(
        RemoveDirectory {
            path: files.state.clone(),
        }
        .into(),
    );
    plan.done = vec![Change::DeleteVm(vm.id)];
    plan
}
