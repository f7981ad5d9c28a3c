//! One full example of everything that a plan may hold. No `..Default`: a new field must be set here to compile.

mod changes;
mod steps;

use std::path::PathBuf;

use banger_api::vm::VmState;
use banger_api::{ContentDigest, LayerId, OperationId, VmId};
use banger_engine::{
    Accel, DiskSpec, EngineKind, IdentityVersion, Memory, NetSpec, Publish, VmmIdentity, VmmSpec,
};
use banger_net_control::NetIdentity;
use banger_ops::{Direction, Ending, Plan, PlanKind};
use banger_store::Owner;
use uuid::Uuid;

pub use changes::{changes, changes_of};
pub use steps::{steps, steps_of};

pub fn vm_id() -> VmId {
    VmId(Uuid::from_u128(0x01a2_1896_6f72_74c6_8388_26c9_2203_7454))
}

pub fn layer_id() -> LayerId {
    LayerId(Uuid::from_u128(0x01a2_1896_6f72_74c6_8388_26c9_2203_7456))
}

pub fn operation() -> OperationId {
    OperationId(Uuid::from_u128(0x01a2_1896_6f72_74c6_8388_26ca_b30e_cdc9))
}

pub fn digest() -> ContentDigest {
    "ab".repeat(32).parse().unwrap()
}

pub fn state_dir() -> PathBuf {
    PathBuf::from("/b/state/vms/01a21896-6f72-74c6-8388-26c922037454")
}

pub fn run_dir() -> PathBuf {
    PathBuf::from("/b/run/vms/01a21896-6f72-74c6-8388-26c922037454")
}

pub fn spec(net: NetSpec) -> VmmSpec {
    VmmSpec {
        vm_id: vm_id().0,
        vm_name: "web".to_owned(),
        launch_token: "banger-74917d82483240fb8fddeba4c8f6a722".parse().unwrap(),
        dir: run_dir(),
        kernel: PathBuf::from("/b/state/kernels/cd/vmlinux"),
        initramfs: PathBuf::from("/b/state/kernels/cd/initramfs.cpio"),
        cmdline_extra: vec!["quiet".to_owned()],
        vcpu: 2,
        memory_mib: 2048,
        memory: Memory::Own,
        disks: vec![DiskSpec {
            path: PathBuf::from("/b/state/images/ab/base.ext4"),
            below: None,
            serial: "base".to_owned(),
            read_only: true,
        }],
        net,
        console_log: state_dir().join("console.log"),
        accel: Accel::Kvm,
        user: Some(1_879_048_192),
    }
}

pub fn user_net() -> NetSpec {
    NetSpec::User {
        mac: [0x52, 0x54, 0, 1, 2, 3],
        egress: true,
        publish: vec![Publish {
            host_ip: "127.0.0.1".parse().unwrap(),
            host_port: 18_080,
            guest_port: 80,
        }],
    }
}

pub fn identity() -> VmmIdentity {
    VmmIdentity {
        version: IdentityVersion::NEWEST,
        engine: EngineKind::Qemu,
        pid: 4711,
        start_ticks: 123_456,
        boot_id: "0b4ee1a3-0000-4000-8000-000000000001".to_owned(),
        exe: PathBuf::from("/usr/bin/qemu-system-x86_64"),
        launch_token: "banger-74917d82483240fb8fddeba4c8f6a722".parse().unwrap(),
        control_socket: run_dir().join("control.sock"),
        channel_socket: run_dir().join("channel.sock"),
        console_log: state_dir().join("console.log"),
        jail: None,
    }
}

pub fn net_identity() -> NetIdentity {
    NetIdentity {
        pid: 4712,
        start_ticks: 123_457,
        boot_id: "0b4ee1a3-0000-4000-8000-000000000001".to_owned(),
        exe: PathBuf::from("/usr/bin/banger"),
        token: "banger-8d3f0c6e0f0b4c0c9d7b3c1f8a5e2d10".to_owned(),
        dir: run_dir(),
    }
}

fn plan(kind: PlanKind, owner: Owner, direction: Direction, ending: Ending) -> Plan {
    let delete = banger_ops::steps::RemoveFile {
        path: state_dir()
            .join("work.img")
            .display()
            .to_string()
            .try_into()
            .unwrap(),
    };
    Plan {
        version: 2,
        id: Uuid::from_u128(7),
        operation: operation(),
        kind,
        vm: Some(vm_id()),
        owner,
        direction,
        begin: vec![banger_ops::Change::DeleteVm(vm_id())],
        steps: vec![delete.into()],
        done: vec![banger_ops::Change::ReleasePorts(vm_id())],
        ending: Some(ending),
    }
}

/// A plan of every kind, with every owner, direction and ending.
pub fn plans() -> Vec<Plan> {
    plans_of(u32::MAX)
}

/// Those that this version has.
pub fn plans_of(version: u32) -> Vec<Plan> {
    use PlanKind as K;
    let owners = [
        Owner::Vm(vm_id()),
        Owner::Image(digest()),
        Owner::Kernel(digest()),
        Owner::Operation(operation()),
    ];
    let directions = [Direction::Back, Direction::Forward];
    let endings = [
        Ending::Forget,
        Ending::Keep(VmState::Stopped),
        Ending::Keep(VmState::Created),
    ];
    let kinds = [
        K::CreateVm,
        K::StartVm,
        K::StopVm,
        K::KillVm,
        K::DeleteVm,
        K::MakeImage,
        K::PublishImage,
        K::DeleteImage,
        K::SaveVm,
        K::RenameImage,
        K::ReplaceImage,
        K::MakeKernel,
        K::PublishKernel,
        K::DeleteKernel,
        K::Sweep,
        K::Discard,
    ];
    let of_version_7 = (version >= 7).then_some(K::ReplaceNet);
    let of_version_8 = (version >= 8).then_some(K::GrowDisk);
    let of_version_10 = [K::MakeTemplate, K::DeleteTemplate];
    let of_version_11 = [K::SuspendVm, K::EndSuspended];
    let of_version_11 = of_version_11.into_iter().filter(|_| version >= 11);
    let of_version_10 = of_version_10.into_iter().filter(|_| version >= 10);
    let of_version_12 = (version >= 12).then_some(K::TakeKernel);
    let of_version_13 = [
        K::CheckpointVm,
        K::MakeLayer,
        K::SwitchDisks,
        K::MakeTops,
        K::RestoreVm,
        K::RemoveOldDisks,
        K::DeleteCheckpoint,
        K::DeleteLayer,
    ];
    let of_version_13 = of_version_13.into_iter().filter(|_| version >= 13);
    let all = kinds
        .into_iter()
        .chain(of_version_7)
        .chain(of_version_8)
        .chain(of_version_10)
        .chain(of_version_11)
        .chain(of_version_12)
        .chain(of_version_13)
        .enumerate();
    all.map(|(n, kind)| {
        let owner = match kind {
            K::DeleteLayer => Owner::Layer(layer_id()),
            _ => owners[n % 4].clone(),
        };
        let direction = directions[n % 2];
        let ending = match kind {
            K::MakeTemplate => Ending::Again(VmState::Stopped),
            _ => endings[n % 3],
        };
        plan(kind, owner, direction, ending)
    })
    .collect()
}
