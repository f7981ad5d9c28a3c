//! A step of every kind.

use std::path::PathBuf;

use banger_api::image::WorkSeed;
use banger_api::kernel::KernelSource;
use banger_api::vm::{Egress, NetStack};
use banger_engine::{Below, DiskSpec, Memory, NetSpec, VmmSpec};
use banger_ops::steps::{
    CloneDisk, ConfigureGuest, CopyMemory, CopyWorkspaces, DirectoryStage, EndNet, EndStray,
    EndStrayNet, EndVmm, FreezeDisk, GreetGuest, GrowFile, GrowRunningDisk, GrowTop, LaunchNet,
    LaunchVmm, MakeDirectory, MakeImage, MakeInitramfs, MakeKernel, MakeSshHostKey,
    MakeSystemOverlay, MakeTop, MakeWorkDisk, NetLaunch, PublishDirectory, ReadKernel, ReadRoot,
    Reader, RemoveDirectory, RemoveFile, ReplaceNet, SaveTemplate, ShutdownGuest, SuspendGuest,
    SwitchDisks, SyncFiles, TopOf, TryTemplate, WorkDiskSource,
};
use banger_ops::{
    BlankDiskSpec, ContainerAt, GuestDefaults, GuestSetup, ImageSource, NetPlan, OwnDir, OwnFile,
    Relay, Route, SeedWish, Step, TemplateFacts, TemplateFiles,
};
use uuid::Uuid;

use super::changes::{checkpoint, disks};
use super::{digest, identity, layer_id, net_identity, run_dir, spec, state_dir, user_net, vm_id};

fn blank() -> BlankDiskSpec {
    BlankDiskSpec {
        bytes: 8 << 30,
        label: "banger-work".to_owned(),
        uuid: Uuid::from_u128(9),
    }
}

fn network(egress: Egress) -> NetPlan {
    NetPlan {
        mac: [0x52, 0x54, 0, 1, 2, 3],
        stack: NetStack::Own,
        guest_v6: Some(("2001:db8::15".parse().unwrap(), 64)),
        guest: "192.0.2.15".parse().unwrap(),
        prefix: 24,
        gateway: "192.0.2.2".parse().unwrap(),
        resolver: Some("192.0.2.3".parse().unwrap()),
        egress,
        routes: vec![Route {
            publish: "18080:80".parse().unwrap(),
            to: 65_535,
        }],
        relays: vec![Relay {
            at: 65_535,
            port: 80,
        }],
        door: Some(65_534),
    }
}

fn launch() -> NetLaunch {
    use banger_egress::{Layer, Policy};
    use banger_net_control::{Link, NameServers, NetConfig};
    let network = network(Egress::Public);
    NetLaunch {
        dir: run_dir(),
        user: Some(1_879_048_192),
        config: NetConfig {
            version: 1,
            vm_id: vm_id().0,
            vm_name: "web".to_owned(),
            launch_token: net_identity().token,
            link: Link {
                own: run_dir().join("net.sock"),
                peer: run_dir().join("net.qemu"),
            },
            control: run_dir().join("net.control"),
            audit: Some(state_dir()),
            guest: network.link(),
            dns: NameServers {
                servers: vec!["192.0.2.53:53".parse().unwrap()],
                ..NameServers::default()
            },
            proxy: None,
            publish: network.ports(),
            secrets: Vec::new(),
            policy: Policy::new(3, Layer::of(Egress::Public)),
        },
    }
}

fn setup(egress: Egress) -> GuestSetup {
    GuestSetup {
        vm: vm_id(),
        name: "web".parse().unwrap(),
        network: Some(network(egress)),
        ssh_host_key: state_dir().join("ssh_host_ed25519_key"),
        defaults: GuestDefaults {
            env: [("A".to_owned(), "b".to_owned())].into(),
            user: Some("me:us".to_owned()),
            cwd: Some("/srv".to_owned()),
            entrypoint: vec!["/entry".to_owned()],
            cmd: vec!["serve".to_owned()],
        },
        bare: true,
        woken: false,
        modules: Some("modules-0a".to_owned()),
        kernel: "debian-cloud".to_owned(),
        own_kernel: Some("0a".repeat(32)),
    }
}

fn seed(from: WorkSeed) -> SeedWish {
    SeedWish {
        from,
        bytes: Some(1 << 30),
        kept_of: Some(PathBuf::from("/b/state/images/ab")),
    }
}

fn own(path: PathBuf) -> OwnDir {
    path.to_str().unwrap().to_owned().try_into().unwrap()
}

fn own_file(path: PathBuf) -> OwnFile {
    path.to_str().unwrap().to_owned().try_into().unwrap()
}

fn staging() -> PathBuf {
    PathBuf::from("/b/state/staging/01a21896-6f72-74c6-8388-26cab30ecdc9-image")
}

fn image_sources() -> Vec<ImageSource> {
    let container = |at| ImageSource::Container {
        at,
        reference: "registry/a:1".to_owned(),
        index: Some(format!("sha256:{}", digest())),
        platform: Some("linux/amd64".to_owned()),
        seed: seed(WorkSeed::None),
    };
    vec![
        ImageSource::Recipe {
            recipe: "debian-minimal".to_owned(),
            seed: seed(WorkSeed::Auto),
        },
        container(ContainerAt::Cache(format!("sha256:{}", digest()))),
        container(ContainerAt::Path {
            path: PathBuf::from("/home/me/layout"),
            tag: Some("1".to_owned()),
        }),
        ImageSource::Rootfs {
            rootfs: PathBuf::from("/home/me/root.tar"),
            seed: seed(WorkSeed::Root),
        },
        ImageSource::Saved {
            archive: staging().join("root.tar"),
            image: PathBuf::from("/b/state/images/ab"),
            vm: "web".parse().unwrap(),
            seed: seed(WorkSeed::Path("/home/me/seed".to_owned())),
        },
        ImageSource::Reseed {
            image: PathBuf::from("/b/state/images/ab"),
            seed: seed(WorkSeed::Auto),
        },
    ]
}

fn kernel_sources() -> Vec<KernelSource> {
    let path = || "/home/me/kernel".to_owned();
    vec![
        KernelSource::Deb { path: path() },
        KernelSource::Dir { path: path() },
        KernelSource::Image {
            path: path(),
            modules: Some(path()),
        },
        KernelSource::Host,
        KernelSource::Default,
    ]
}

fn of_files() -> Vec<Step> {
    let stages = [
        DirectoryStage::Reserve,
        DirectoryStage::CleanUp,
        DirectoryStage::Publish,
    ];
    let path = state_dir();
    let mut steps: Vec<Step> = stages
        .into_iter()
        .map(|stage| {
            let path = own(path.clone());
            MakeDirectory { path, stage }.into()
        })
        .collect();
    steps.extend([
        Step::from(SyncFiles {
            dir: path.clone(),
            files: vec![path.join("work.img")],
        }),
        PublishDirectory {
            from: own(staging()),
            to: own(PathBuf::from("/b/state/images/ab")),
        }
        .into(),
        RemoveFile {
            path: own_file(path.join("work.img")),
        }
        .into(),
        RemoveDirectory {
            path: own(path.clone()),
        }
        .into(),
        MakeSystemOverlay {
            path: path.join("system.img"),
            disk: blank(),
        }
        .into(),
        MakeWorkDisk {
            path: path.join("work.img"),
            source: WorkDiskSource::Seed {
                path: PathBuf::from("/b/state/images/ab/seed.ext4"),
                bytes: 1 << 30,
            },
            bytes: 8 << 30,
        }
        .into(),
        MakeWorkDisk {
            path: path.join("work.img"),
            source: WorkDiskSource::Blank(blank()),
            bytes: 8 << 30,
        }
        .into(),
        GrowFile {
            path: path.join("work.img"),
            bytes: 9 << 30,
        }
        .into(),
        CloneDisk {
            from: path.join("work.img"),
            to: staging().join("work.img"),
        }
        .into(),
    ]);
    steps
}

fn of_making() -> Vec<Step> {
    let images = image_sources().into_iter().map(|source| {
        let into = staging();
        MakeImage { source, into }.into()
    });
    let kernels = kernel_sources().into_iter().map(|source| {
        let into = staging();
        let all_modules = true;
        MakeKernel {
            source,
            all_modules,
            into,
        }
        .into()
    });
    let mut steps: Vec<Step> = images.chain(kernels).collect();
    steps.push(
        MakeInitramfs {
            kernel_dir: PathBuf::from("/b/state/kernels/cd"),
            path: PathBuf::from("/b/state/kernels/cd/initramfs.cpio"),
        }
        .into(),
    );
    steps.push(
        MakeSshHostKey {
            path: state_dir().join("ssh_host_ed25519_key"),
            vm: "web".parse().unwrap(),
        }
        .into(),
    );
    steps
}

fn reader() -> Reader {
    Reader {
        spec: spec(NetSpec::None),
        setup: Box::new(setup(Egress::None)),
        deadline_ms: 60_000,
    }
}

fn of_guests() -> Vec<Step> {
    vec![
        ConfigureGuest {
            setup: setup(Egress::All),
            launch_token: identity().launch_token,
            dir: run_dir(),
            deadline_ms: 60_000,
        }
        .into(),
        ShutdownGuest {
            vm: vm_id(),
            vmm: identity(),
            deadline_ms: 10_000,
        }
        .into(),
        ReadRoot {
            reader: reader(),
            to: staging().join("root.tar"),
        }
        .into(),
        LaunchVmm {
            vm: vm_id(),
            spec: spec(user_net()),
        }
        .into(),
        EndVmm {
            vm: vm_id(),
            vmm: Some(identity()),
            dir: run_dir(),
            launch_token: Some(identity().launch_token),
            signal: 9,
        }
        .into(),
        EndStray { vmm: identity() }.into(),
    ]
}

/// Those that version 7 has and older ones had not.
fn of_version_7() -> Vec<Step> {
    vec![
        LaunchNet {
            vm: vm_id(),
            launch: launch(),
            vmm: identity().launch_token,
        }
        .into(),
        ReplaceNet {
            vm: vm_id(),
            old: Some(net_identity()),
            launch: launch(),
            vmm: identity().launch_token,
        }
        .into(),
        EndNet {
            vm: vm_id(),
            net: Some(net_identity()),
            dir: run_dir(),
        }
        .into(),
        EndStrayNet {
            net: net_identity(),
        }
        .into(),
    ]
}

/// Those that version 12 has and older ones had not.
fn of_version_12() -> Vec<Step> {
    vec![
        ReadKernel {
            reader: reader(),
            into: staging().join("kernel"),
        }
        .into(),
    ]
}

/// Those that version 8 has and older ones had not.
fn of_version_8() -> Vec<Step> {
    let grow = GrowRunningDisk {
        vm: vm_id(),
        vmm: identity(),
        path: state_dir().join("work.img"),
        bytes: 9 << 30,
    };
    vec![grow.into()]
}

/// Those that version 10 has and older ones had not.
fn of_version_10() -> Vec<Step> {
    let template = || TemplateFiles {
        dir: own(PathBuf::from("/b/state/templates/ef")),
    };
    let with = |memory| VmmSpec {
        memory,
        ..spec(NetSpec::None)
    };
    let copy = || state_dir().join("memory.img");
    vec![
        SaveTemplate {
            spec: with(Memory::File {
                file: template().memory(),
            }),
            to: template(),
            facts: TemplateFacts {
                kernel: digest(),
                vcpu: 1,
                memory_mib: 512,
                made_ms: 1_795_708_800_000,
            },
            deadline_ms: 60_000,
        }
        .into(),
        TryTemplate {
            spec: with(Memory::Saved {
                file: copy(),
                state: template().state(),
            }),
            from: template(),
            setup: Box::new(GuestSetup {
                woken: true,
                ..setup(Egress::None)
            }),
            deadline_ms: 30_000,
        }
        .into(),
        CopyMemory {
            from: template(),
            to: copy(),
        }
        .into(),
    ]
}

/// Those that version 11 has and older ones had not.
fn of_version_11() -> Vec<Step> {
    vec![
        SuspendGuest {
            vm: vm_id(),
            vmm: identity(),
            to: state_dir().join("suspended.state"),
        }
        .into(),
        GreetGuest {
            vm: vm_id(),
            launch_token: identity().launch_token,
            dir: run_dir(),
            deadline_ms: 60_000,
        }
        .into(),
        LaunchVmm {
            vm: vm_id(),
            spec: VmmSpec {
                memory: Memory::Suspended {
                    state: state_dir().join("suspended.state"),
                },
                ..spec(NetSpec::None)
            },
        }
        .into(),
    ]
}

/// Those that version 13 has and older ones had not.
fn of_version_13() -> Vec<Step> {
    let layer = PathBuf::from("/b/state/layers/7");
    let top = || state_dir().join("work-2.img");
    vec![
        FreezeDisk {
            from: state_dir().join("work.img"),
            to: layer.join("work.img"),
        }
        .into(),
        MakeTop {
            path: top(),
            bytes: 8 << 30,
        }
        .into(),
        CopyWorkspaces {
            from: state_dir().join("workspaces"),
            to: layer.join("workspaces"),
        }
        .into(),
        SwitchDisks {
            vm: vm_id(),
            vmm: identity(),
            layer: layer_id(),
            tops: vec![TopOf {
                serial: "work".to_owned(),
                from: state_dir().join("work.img"),
                to: top(),
            }],
            disks: disks(),
            before: disks(),
            checkpoint: Box::new(checkpoint()),
        }
        .into(),
        GrowTop {
            path: top(),
            bytes: 9 << 30,
        }
        .into(),
        LaunchVmm {
            vm: vm_id(),
            spec: VmmSpec {
                disks: vec![DiskSpec {
                    path: top(),
                    below: Some(Below {
                        layers: vec![layer.join("work.img")],
                        bytes: 8 << 30,
                    }),
                    serial: "work".to_owned(),
                    read_only: false,
                }],
                ..spec(NetSpec::None)
            },
        }
        .into(),
    ]
}

/// Those that this version has.
pub fn steps_of(version: u32) -> Vec<Step> {
    let mut steps = [of_files(), of_making(), of_guests()].concat();
    if version >= 7 {
        steps.extend(of_version_7());
    }
    if version >= 8 {
        steps.extend(of_version_8());
    }
    if version >= 10 {
        steps.extend(of_version_10());
    }
    if version >= 11 {
        steps.extend(of_version_11());
    }
    if version >= 12 {
        steps.extend(of_version_12());
    }
    if version >= 13 {
        steps.extend(of_version_13());
    }
    steps
}

/// All of them.
pub fn steps() -> Vec<Step> {
    steps_of(u32::MAX)
}
