//! A change of every kind, over records in full.

use banger_api::vm::{Egress, NetMode, NetStack, Publish, RestartPolicy, VmState};
use banger_api::{CheckpointId, EngineName, ExitCause, LayerId};
use banger_ops::Change;
use banger_store::{
    CheckpointRecord, Claim, ClaimKind, DiskNames, ImageRecord, KernelRecord, OwnKernel, Owner,
    Reboots, VmDisks, VmNetwork, VmRecord,
};

use super::{digest, identity, layer_id, net_identity, operation, state_dir, vm_id};

fn vm(state: VmState, reboots: Reboots, network: VmNetwork, disks: VmDisks) -> Box<VmRecord> {
    Box::new(VmRecord {
        id: vm_id(),
        name: "web".parse().unwrap(),
        state,
        image: "debian-minimal".parse().unwrap(),
        image_digest: digest(),
        kernel: "debian-cloud".parse().unwrap(),
        kernel_digest: digest(),
        own_kernel: OwnKernel::No,
        engine: EngineName::qemu(),
        vcpu: 2,
        memory_mib: 2048,
        disk_bytes: 8 << 30,
        overlay_bytes: 4 << 30,
        disks,
        net: NetMode::User,
        egress: Egress::All,
        network,
        publish: vec![Publish {
            host_ip: "127.0.0.1".parse().unwrap(),
            host_port: 18_080,
            guest_port: 80,
        }],
        ephemeral: true,
        restart: RestartPolicy::Always,
        labels: banger_api::Labels::new(["team=red".parse().unwrap()]).unwrap(),
        restart_needed: true,
        runs: Some(banger_api::vm::MachineSize {
            vcpu: 1,
            memory_mib: 1024,
        }),
        vmm: Some(identity()).into(),
        created_ms: 1_795_708_800_000,
        started_ms: Some(1_795_708_801_000),
        error: Some("it failed".to_owned()),
        exit: Some(ExitCause::Killed { signal: 9 }),
        reboots,
        damage: None,
    })
}

fn image() -> Box<ImageRecord> {
    Box::new(ImageRecord {
        name: "debian-minimal".parse().unwrap(),
        digest: digest(),
        source: "recipe debian-minimal".to_owned(),
        init: "none".to_owned(),
        base_bytes: 156_000_000,
        seed_bytes: Some(135_000_000),
        created_ms: 1_795_708_700_000,
        superseded: true,
        damage: None,
    })
}

fn kernel() -> Box<KernelRecord> {
    Box::new(KernelRecord {
        name: "debian-cloud".parse().unwrap(),
        digest: digest(),
        source: "deb /home/me/linux-image.deb".to_owned(),
        version: "6.1.0-56-cloud-amd64".to_owned(),
        image_bytes: 53_000_000,
        modules: vec!["virtio_pci".to_owned()],
        of_root: false,
        created_ms: 1_795_708_600_000,
        damage: None,
    })
}

/// Every state that a record may have.
const STATES: [VmState; 8] = [
    VmState::Created,
    VmState::Starting,
    VmState::Running,
    VmState::Stopping,
    VmState::Stopped,
    VmState::Suspended,
    VmState::Deleting,
    VmState::Error,
];

fn of_vms(version: u32) -> Vec<Change> {
    let reboots = match version {
        ..5 => Reboots::default(),
        _ => Reboots {
            recent_ms: vec![1_795_708_802_000],
            due: true,
        },
    };
    let network = match version {
        ..7 => VmNetwork::default(),
        _ => VmNetwork {
            stack: NetStack::Own,
            process: Some(net_identity()),
            ..VmNetwork::default()
        },
    };
    let disks = match version {
        ..13 => VmDisks::default(),
        _ => disks(),
    };
    let mut changes: Vec<Change> = STATES
        .into_iter()
        .map(|state| Change::InsertVm(vm(state, reboots.clone(), network.clone(), disks.clone())))
        .collect();
    changes.extend([
        Change::DeleteVm(vm_id()),
        Change::SetVmState {
            vm: vm_id(),
            state: VmState::Error,
            error: Some("it failed".to_owned()),
        },
        Change::SetVmm {
            vm: vm_id(),
            vmm: Some(identity()),
        },
        Change::SetStarted {
            vm: vm_id(),
            at_ms: 1_795_708_801_000,
        },
        Change::ReleasePorts(vm_id()),
    ]);
    changes
}

fn of_files() -> Vec<Change> {
    vec![
        Change::InsertImage(image()),
        Change::DeleteImage("debian-minimal".parse().unwrap()),
        Change::RenameImage {
            from: "a".parse().unwrap(),
            to: "b".parse().unwrap(),
        },
        Change::ReplaceImage {
            from: digest(),
            to: image(),
        },
        Change::SupersedeImage {
            from: digest(),
            to: image(),
            kept: "debian-minimal-abababababab".parse().unwrap(),
        },
        Change::InsertKernel(kernel()),
        Change::DeleteKernel("debian-cloud".parse().unwrap()),
        Change::Named(Owner::Image(digest())),
        Change::Stands {
            name: "debian-cloud".to_owned(),
            files: Owner::Kernel(digest()),
        },
        Change::Unused(Owner::Image(digest())),
    ]
}

fn of_claims() -> Vec<Change> {
    let directory = Claim::new(ClaimKind::Directory, state_dir().to_str().unwrap());
    vec![
        Change::Claim(directory.clone(), Owner::Vm(vm_id())),
        Change::Release(
            Claim::new(ClaimKind::HostPort, "127.0.0.1:18080"),
            Owner::Vm(vm_id()),
        ),
        Change::Claim(
            Claim::new(ClaimKind::Process, identity().launch_token),
            Owner::Operation(operation()),
        ),
        Change::Transfer {
            claim: directory,
            from: Owner::Operation(operation()),
            to: Owner::Image(digest()),
        },
    ]
}

/// Those that version 3 has and older ones had not.
fn of_version_3() -> Vec<Change> {
    vec![
        Change::SetExit {
            vm: vm_id(),
            exit: Some(ExitCause::GuestShutdown),
        },
        Change::ReleaseLaunches(vm_id()),
    ]
}

/// Those that version 4 has and older ones had not.
fn of_version_4() -> Vec<Change> {
    vec![Change::SetName {
        vm: vm_id(),
        name: "web".parse().unwrap(),
    }]
}

/// Those that version 5 has and older ones had not.
fn of_version_5() -> Vec<Change> {
    vec![
        Change::Rebooted {
            vm: vm_id(),
            at_ms: 1_795_708_802_000,
        },
        Change::StaysDown(vm_id()),
        Change::ReleaseUsers(vm_id()),
    ]
}

/// Those that version 7 has and older ones had not.
fn of_version_7() -> Vec<Change> {
    vec![Change::SetNet {
        vm: vm_id(),
        net: Some(net_identity()),
    }]
}

/// Those that version 8 has and older ones had not.
fn of_version_8() -> Vec<Change> {
    vec![Change::SetDisk {
        vm: vm_id(),
        bytes: 9 << 30,
    }]
}

pub fn disks() -> VmDisks {
    VmDisks {
        names: DiskNames::Second,
        layers: vec![layer_id()],
        checkpoint: Some(checkpoint().id),
        pending: Some(LayerId(operation().0)),
    }
}

pub fn checkpoint() -> CheckpointRecord {
    CheckpointRecord {
        id: CheckpointId(layer_id().0),
        vm: vm_id(),
        name: "before-upgrade".parse().unwrap(),
        parent: Some(CheckpointId(operation().0)),
        layers: vec![layer_id()],
        disk_bytes: 8 << 30,
        overlay_bytes: 4 << 30,
        created_ms: 1_795_708_800_000,
        damage: None,
    }
}

/// Those that version 13 has and older ones had not.
fn of_version_13() -> Vec<Change> {
    vec![
        Change::SetDisks {
            vm: vm_id(),
            disks: disks(),
        },
        Change::InsertCheckpoint(Box::new(checkpoint())),
        Change::DeleteCheckpoint(checkpoint().id),
        Change::Unused(Owner::Layer(layer_id())),
    ]
}

/// All that this version has.
pub fn changes_of(version: u32) -> Vec<Change> {
    let mut changes = [of_vms(version), of_files(), of_claims()].concat();
    if version >= 3 {
        changes.extend(of_version_3());
    }
    if version >= 4 {
        changes.extend(of_version_4());
    }
    if version >= 5 {
        changes.extend(of_version_5());
    }
    if version >= 7 {
        changes.extend(of_version_7());
    }
    if version >= 8 {
        changes.extend(of_version_8());
    }
    if version >= 13 {
        changes.extend(of_version_13());
    }
    changes
}

/// All of them.
pub fn changes() -> Vec<Change> {
    changes_of(u32::MAX)
}
