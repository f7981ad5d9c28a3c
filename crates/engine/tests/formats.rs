//! The stored forms of a launch, its VMM and its end.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::path::PathBuf;

use banger_engine::{
    Accel, Below, DiskSpec, EngineKind, ExitCause, IdentityVersion, JailRecord, Layers, Memory,
    NetSpec, Publish, VmmIdentity, VmmSpec,
};
use banger_formats::{Golden, every_variant};
use uuid::Uuid;

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

fn spec(net: NetSpec, accel: Accel) -> VmmSpec {
    VmmSpec {
        vm_id: Uuid::from_u128(1),
        vm_name: "web".to_owned(),
        launch_token: "01a21896-6f72-74c6-8388-26c922037455".parse().unwrap(),
        dir: PathBuf::from("/b/run/vms/1"),
        kernel: PathBuf::from("/b/state/kernels/cd/vmlinux"),
        initramfs: PathBuf::from("/b/state/kernels/cd/initramfs.cpio"),
        cmdline_extra: vec!["quiet".to_owned()],
        vcpu: 2,
        memory_mib: 2048,
        memory: match (&net, accel) {
            (NetSpec::None, _) => Memory::File {
                file: PathBuf::from("/b/state/staging/1-template/memory"),
            },
            (_, Accel::Tcg) => Memory::Saved {
                file: PathBuf::from("/b/state/vms/1/memory.img"),
                state: PathBuf::from("/b/state/templates/ef/state"),
            },
            _ => Memory::Own,
        },
        disks: vec![DiskSpec {
            path: PathBuf::from("/b/state/images/ab/base.ext4"),
            below: None,
            serial: "base".to_owned(),
            read_only: true,
        }],
        net,
        console_log: PathBuf::from("/b/state/vms/1/console.log"),
        accel,
        user: Some(1_879_048_192),
    }
}

fn specs() -> Vec<VmmSpec> {
    let user = NetSpec::User {
        mac: [0x52, 0x54, 0, 1, 2, 3],
        egress: true,
        publish: vec![Publish {
            host_ip: "127.0.0.1".parse().unwrap(),
            host_port: 18_080,
            guest_port: 80,
        }],
    };
    let datagrams = NetSpec::Datagrams {
        mac: [0x52, 0x54, 0, 1, 2, 3],
        mtu: 65_520,
    };
    vec![
        spec(user, Accel::Kvm),
        spec(NetSpec::None, Accel::Tcg),
        spec(datagrams, Accel::Tcg),
        VmmSpec {
            disks: vec![DiskSpec {
                path: PathBuf::from("/b/state/vms/1/work-2.img"),
                below: Some(Below {
                    layers: vec![PathBuf::from("/b/state/layers/7/work.img")],
                    bytes: 8 << 30,
                }),
                serial: "work".to_owned(),
                read_only: false,
            }],
            ..spec(NetSpec::None, Accel::Tcg)
        },
        VmmSpec {
            memory: Memory::Suspended {
                state: PathBuf::from("/b/state/vms/1/suspended.state"),
            },
            ..spec(NetSpec::None, Accel::Tcg)
        },
    ]
}

fn identity() -> VmmIdentity {
    VmmIdentity {
        version: IdentityVersion::NEWEST,
        engine: EngineKind::Qemu,
        pid: 4711,
        start_ticks: 123_456,
        boot_id: "0b4ee1a3-0000-4000-8000-000000000001".to_owned(),
        exe: PathBuf::from("/usr/bin/qemu-system-x86_64"),
        launch_token: "01a21896-6f72-74c6-8388-26c922037455".parse().unwrap(),
        control_socket: PathBuf::from("/b/run/vms/1/control.sock"),
        channel_socket: PathBuf::from("/b/run/vms/1/channel.sock"),
        console_log: PathBuf::from("/b/state/vms/1/console.log"),
        jail: Some(JailRecord {
            layers: Layers {
                namespaces: false,
                network_namespace: false,
                landlock_abi: Some(4),
                seccomp: true,
                user: Some(1_879_048_192),
                control_group: true,
            },
            lacks: Some("user namespaces are forbidden".to_owned()),
            group: Some(PathBuf::from("/sys/fs/cgroup/banger/vm-1")),
        }),
    }
}

fn causes() -> Vec<ExitCause> {
    let message = || "not enough memory".to_owned();
    vec![
        ExitCause::GuestPanic { message: message() },
        ExitCause::GuestShutdown,
        ExitCause::GuestReset,
        ExitCause::HostQuit,
        ExitCause::HostSignal { signal: Some(15) },
        ExitCause::Killed { signal: 9 },
        ExitCause::Failed { message: message() },
        ExitCause::Vanished,
    ]
}

#[test]
fn the_stored_forms_are_those_of_the_newest_golden_files() {
    every_variant!(
        specs().iter().map(|spec| &spec.net),
        NetSpec {
            None,
            User,
            Datagrams
        }
    );
    every_variant!(
        specs().iter().map(|spec| &spec.memory),
        Memory {
            Own,
            File,
            Saved,
            Suspended
        }
    );
    every_variant!(specs().iter().map(|spec| &spec.accel), Accel { Kvm, Tcg });
    every_variant!(
        causes().iter(),
        ExitCause {
            GuestPanic,
            GuestShutdown,
            GuestReset,
            HostQuit,
            HostSignal,
            Killed,
            Failed,
            Vanished
        }
    );
    assert_eq!(golden().holds("vmm-spec.json", &specs()), Ok(()));
    assert_eq!(golden().holds("vmm-identity.json", &identity()), Ok(()));
    assert_eq!(golden().holds("exit-cause.json", &causes()), Ok(()));
}

#[test]
fn what_version_1_wrote_is_read() {
    // A VMM has a user of its own since version 5; datagrams are there since version 4, memory elsewhere since version 8.
    for (version, count) in [(1, 2), (4, 3)] {
        let mut before = specs()[..count].to_vec();
        for spec in &mut before {
            spec.user = None;
            spec.memory = Memory::Own;
        }
        let read: Vec<VmmSpec> = golden().read(version, "vmm-spec.json");
        assert_eq!(read, before);
    }
    let read: VmmIdentity = golden().read(1, "vmm-identity.json");
    let version = IdentityVersion::try_from(1).unwrap();
    let expected = VmmIdentity {
        version,
        jail: None,
        ..identity()
    };
    assert_eq!(read, expected);
    assert_eq!(
        golden().read::<Vec<ExitCause>>(1, "exit-cause.json"),
        causes()
    );
}

#[test]
fn an_identity_from_before_jails_were_recorded_is_read_without_one() {
    let read: VmmIdentity = golden().read(2, "vmm-identity.json");
    let expected = VmmIdentity {
        jail: None,
        ..identity()
    };
    assert_eq!(read, expected);
}

#[test]
fn an_identity_from_before_vmms_had_users_or_groups_is_read_without_them() {
    for (version, user) in [(3, None), (4, Some(1_879_048_192))] {
        let read: VmmIdentity = golden().read(version, "vmm-identity.json");
        let mut expected = identity();
        if let Some(jail) = &mut expected.jail {
            jail.layers.user = user;
            jail.layers.control_group = false;
            jail.group = None;
        }
        assert_eq!(read, expected);
    }
}

#[test]
fn an_identity_of_a_newer_version_is_refused_with_both_versions() {
    let text = golden()
        .text(2, "vmm-identity.json")
        .replace("\"version\": 2", "\"version\": 3");
    let error = serde_json::from_str::<VmmIdentity>(&text).unwrap_err();
    let told = "version 3 of a VMM's identity is newer than 2, the newest that this banger knows";
    assert!(error.to_string().starts_with(told), "{error}");
}
