//! Examples of every message, frame and hello.

use banger_guest::wire::frame::Frame;
use banger_guest::wire::handshake::{Kind, Record};
use banger_guest::{
    Answer, Attach, Authorities, ClockChange, ClockReading, ClockSet, CommandStats, Configure,
    Configured, ConnectTarget, Content, CpuTimes, Detached, DetachedCommand, DetachedEnd,
    DiskStats, Door, ExecFailure, ExecFailureKind, ExecRequest, ExitStatus, Failure, FailureKind,
    Found, GetChanges, GetFiles, GrowDisk, GuestFile, GuestMount, GuestPath, GuestStats,
    IdentityName, IdentityRow, InitMode, Interface, InterfaceAddress, Listener, MacAddr,
    MemoryStats, ModulesPlan, Net, OwnKernel, Phase, Pong, PutFiles, Relay, Request, RootPlan,
    RunningInit, SetClock, ShutdownMode, Stage, TmpMode, TransferDone, TransferFailure,
    TransportProtocol, TreeFiles, TreePath, Tty,
};
use bytes::Bytes;

pub fn text(text: &str) -> String {
    text.to_owned()
}

pub fn path(path: &str) -> GuestPath {
    path.parse().unwrap()
}

pub fn files() -> Vec<GuestFile> {
    let content = |bytes: &[u8]| Content(bytes.to_vec());
    let (mode, uid, gid) = (0o644, 1000, 100);
    vec![
        GuestFile::WriteUnlessEdited {
            path: path("/etc/hosts"),
            mode,
            content: content(b"hosts\n"),
        },
        GuestFile::Guard {
            path: path("/root"),
        },
        GuestFile::Write {
            path: path("/etc/a"),
            mode,
            uid,
            gid,
            content: content(b"text\n"),
        },
        GuestFile::WriteIfAbsent {
            path: path("/etc/b"),
            mode,
            uid,
            gid,
            content: content(b"\xff\x00"),
        },
        GuestFile::AddLineOnce {
            path: path("/etc/c"),
            line: text("line"),
            mode,
            uid,
            gid,
        },
        GuestFile::Fstab {
            drop_mountpoints: vec![text("/")],
            add: vec![text("LABEL=a / ext4 defaults 0 1")],
        },
        GuestFile::Symlink {
            path: path("/etc/d"),
            target: text("c"),
        },
        GuestFile::Dir {
            path: path("/srv"),
            mode,
            uid,
            gid,
        },
        GuestFile::Remove {
            path: path("/etc/e"),
        },
    ]
}

pub fn configure(init: InitMode) -> Configure {
    Configure {
        hostname: text("web"),
        machine_id: "0a".repeat(16),
        machine_uuid: text("01a21896-6f72-74c6-8388-26c922037455"),
        generation: "0b".repeat(16),
        clock_unix_ns: 1_795_708_800_000_000_000,
        entropy: Content(vec![0xff; 4]),
        root: RootPlan {
            base: text("base"),
            system: text("system"),
            work: Some(text("work")),
            grow_system: true,
            grow_work: true,
            modules: Some(ModulesPlan {
                disk: text("modules"),
                layer: text("modules-0a"),
            }),
        },
        init,
        tmp: match init {
            InitMode::Auto => TmpMode::Disk,
            InitMode::Agent => TmpMode::Memory,
        },
        files: files(),
        authorities: Some(Authorities {
            trusted: text("-----BEGIN CERTIFICATE-----\n"),
            added: text("-----BEGIN CERTIFICATE-----\n"),
        }),
        mounts: vec![GuestMount {
            source: text("tag"),
            target: path("/mnt"),
            fstype: text("9p"),
            options: vec![text("ro")],
        }],
        net: Some(Net {
            interfaces: vec![Interface {
                mac: MacAddr([0x52, 0x54, 0, 1, 2, 3]),
                addresses: vec![InterfaceAddress {
                    ip: "10.0.2.15".parse().unwrap(),
                    prefix: 24,
                }],
                gateway: Some("10.0.2.2".parse().unwrap()),
                mtu: Some(1500),
            }],
        }),
        relays: vec![Relay {
            listen: "10.0.2.15:65535".parse().unwrap(),
            from: "10.0.2.2".parse().unwrap(),
            port: 80,
        }],
        door: Some(Door {
            listen: "10.0.2.15:65534".parse().unwrap(),
            from: "10.0.2.2".parse().unwrap(),
        }),
        kernel_line: Some(text("this VM boots debian-cloud")),
        own_kernel: Some(OwnKernel {
            sha256: "0a".repeat(32),
        }),
        env: [(text("A"), text("b"))].into(),
        cwd: Some(path("/srv")),
        user: Some(text("me")),
        entrypoint: vec![text("/entry")],
        cmd: vec![text("serve")],
    }
}

pub fn exec() -> ExecRequest {
    ExecRequest {
        argv: vec![text("ls")],
        image_command: true,
        env: [(text("A"), text("b"))].into(),
        cwd: Some(path("/srv")),
        user: Some(text("me")),
        tty: Some(Tty {
            rows: 24,
            cols: 80,
            term: text("xterm"),
        }),
        stdin: true,
        reports: true,
        timeout_ms: Some(90_000),
    }
}

/// Requests as version 1 had them.
pub fn requests_of_version_1() -> Vec<Request> {
    let before = |mut exec: ExecRequest| {
        exec.reports = false;
        exec.timeout_ms = None;
        exec
    };
    let known = |request: &Request| {
        !matches!(
            request,
            Request::ReadClock
                | Request::SetClock(_)
                | Request::GrowDisk(_)
                | Request::Hold
                | Request::WatchPorts
                | Request::InstalledKernel
        )
    };
    let requests = requests()
        .into_iter()
        .filter(known)
        .map(|request| match request {
            Request::Exec(exec) => Request::Exec(before(exec)),
            Request::Detach(exec) => Request::Detach(before(exec)),
            Request::Configure(mut configure) => {
                configure.tmp = TmpMode::Disk;
                configure.authorities = None;
                configure.generation = String::new();
                configure.door = None;
                configure.machine_uuid = String::new();
                configure.kernel_line = None;
                configure.own_kernel = None;
                configure.root.modules = None;
                configure.files.drain(..NEW_FILES_IN_VERSION_3);
                Request::Configure(configure)
            }
            other => other,
        });
    requests.collect()
}

/// Number of kinds of guest files that are new in version 3; they stand first.
pub const NEW_FILES_IN_VERSION_3: usize = 2;

/// Number of frames that version 1 did not have.
pub const NEW_IN_VERSION_2: usize = 3;

pub fn tree() -> TreeFiles {
    TreeFiles {
        root: path("/root/a"),
        files: vec![
            TreePath::new("b/c").unwrap(),
            TreePath::new(*b"\xff%").unwrap(),
        ],
    }
}

pub fn requests() -> Vec<Request> {
    vec![
        Request::Ping,
        Request::Configure(Box::new(configure(InitMode::Auto))),
        Request::Configure(Box::new(configure(InitMode::Agent))),
        Request::Exec(exec()),
        Request::Detach(exec()),
        Request::Detached,
        Request::Attach(Attach {
            id: 1,
            output: true,
        }),
        Request::PutFiles(PutFiles {
            dest: path("/root"),
            must_be_dir: true,
            contents: true,
            parents: true,
            unchanged: true,
            owner: Some((1000, 100)),
        }),
        Request::GetFiles(GetFiles {
            path: path("/root"),
            follow: true,
        }),
        Request::GetChanges(GetChanges {
            root: path("/root/a"),
            max_bytes: 1 << 30,
        }),
        Request::GetRoot,
        Request::Connect(ConnectTarget::Tcp { port: 22 }),
        Request::Connect(ConnectTarget::Unix {
            path: path("/run/a"),
        }),
        Request::DigestFiles(tree()),
        Request::RemoveFiles(tree()),
        Request::Ports,
        Request::WatchPorts,
        Request::Stats,
        Request::ReadClock,
        Request::SetClock(SetClock {
            monotonic_ns: 1_500_000_000,
            unix_ns: 1_795_708_800_000_000_000,
        }),
        Request::GrowDisk(GrowDisk {
            disk: text("work"),
            mounted: path("/root"),
            bytes: 16 << 30,
        }),
        Request::Hold,
        Request::InstalledKernel,
        Request::Sync,
        Request::Shutdown {
            mode: ShutdownMode::Poweroff,
        },
        Request::Shutdown {
            mode: ShutdownMode::Reboot,
        },
    ]
}

pub fn failures() -> Vec<ExecFailure> {
    use ExecFailureKind as K;
    [K::NotFound, K::Permission, K::Cwd, K::User, K::Other]
        .map(|kind| ExecFailure {
            kind,
            message: text("no"),
        })
        .into()
}

pub fn pongs() -> Vec<Answer<Pong>> {
    let pong = |phase| {
        Answer::Ok(Pong {
            agent_version: text("0.1.0"),
            phase,
            boot_id: text("0b4ee1a3"),
        })
    };
    let failed = Answer::Failed(Failure {
        part: text("disks"),
        check: text("mount"),
        message: text("no"),
        kind: FailureKind::Other,
    });
    let phases = [
        Phase::Waiting,
        Phase::Held,
        Phase::Configuring,
        Phase::Running,
        Phase::Stopping,
    ];
    phases.map(pong).into_iter().chain([failed]).collect()
}

pub fn configured() -> Vec<Configured> {
    [RunningInit::Agent, RunningInit::Systemd, RunningInit::Other]
        .map(|init| Configured {
            init,
            stages: vec![Stage {
                name: text("mount"),
                us: 7,
            }],
            boot_id: text("0b4ee1a3"),
            kernel: text("6.1.0"),
            rows: rows(),
        })
        .into()
}

pub fn rows() -> Vec<IdentityRow> {
    use IdentityName as Name;
    let names = [
        Name::Randomness,
        Name::Clock,
        Name::BootId,
        Name::Hostname,
        Name::MachineId,
        Name::MacAddress,
        Name::MachineUuid,
        Name::Generation,
    ];
    names
        .map(|name| IdentityRow {
            name,
            value: text("web"),
        })
        .into()
}

pub fn detached() -> Vec<Detached> {
    let ended = |status| DetachedEnd {
        status: Some(status),
        unix_ms: 1_795_708_848_235,
    };
    let started = |status| {
        Detached::Started(DetachedCommand {
            id: 1,
            argv: vec![text("sleep"), text("1")],
            pid: 90,
            started_unix_ms: 1_795_708_847_926,
            ended: Some(ended(status)),
            log_bytes: 7,
            log_cut: true,
        })
    };
    let failed = failures().into_iter().map(Detached::Failed);
    [started(ExitStatus::Code(0)), started(ExitStatus::Signal(9))]
        .into_iter()
        .chain(failed)
        .collect()
}

pub fn stats() -> GuestStats {
    GuestStats {
        cpu: CpuTimes {
            user_ms: 1,
            system_ms: 2,
            idle_ms: 3,
            iowait_ms: 4,
            steal_ms: 5,
        },
        cpus: 2,
        memory: MemoryStats {
            total: 1,
            free: 2,
            available: 3,
            cached: 4,
            swap_total: 5,
            swap_free: 6,
        },
        disks: vec![DiskStats {
            mount: text("/"),
            total: 1,
            free: 2,
            available: 3,
            inodes: 4,
            inodes_free: 5,
        }],
        load: [0.5, 0.25, 0.125],
        uptime_ms: 77,
        processes: 3,
        boot_id: text("0b4ee1a3"),
        commands: vec![CommandStats {
            pid: 90,
            command: text("make -j4"),
            processes: 3,
            cpu_ms: 1500,
            memory: 4096,
        }],
    }
}

pub fn clock_reading() -> ClockReading {
    ClockReading {
        unix_ns: 1_795_708_800_000_000_000,
        monotonic_ns: 1_500_000_000,
    }
}

pub fn clock_sets() -> Vec<ClockSet> {
    [ClockChange::Stepped, ClockChange::Slewed, ClockChange::Left]
        .map(|change| ClockSet {
            offset_ns: -7,
            change,
        })
        .into()
}

pub fn listeners() -> Vec<Listener> {
    [TransportProtocol::Tcp, TransportProtocol::Udp]
        .map(|protocol| Listener {
            protocol,
            address: "127.0.0.1".parse().unwrap(),
            port: 80,
            pid: Some(7),
            process: Some(text("httpd")),
        })
        .into()
}

pub fn found() -> Vec<Found> {
    vec![
        Found::Absent,
        Found::File {
            sha256: "0a".repeat(32),
            executable: true,
        },
        Found::Link {
            sha256: "0b".repeat(32),
        },
        Found::Directory,
        Found::Other,
    ]
}

pub fn frames() -> Vec<Frame> {
    let bytes = || Bytes::from_static(b"bytes");
    vec![
        Frame::Stdin(bytes()),
        Frame::StdinEof,
        Frame::Resize { rows: 24, cols: 80 },
        Frame::Signal(15),
        Frame::Started { pid: 90 },
        Frame::Stdout(bytes()),
        Frame::Stderr(bytes()),
        Frame::Exit(ExitStatus::Code(3)),
        Frame::Failed(failures().remove(0)),
        Frame::Data(bytes()),
        Frame::End,
        Frame::Done(TransferDone {
            entries: 1,
            bytes: 2,
            skipped: 3,
        }),
        Frame::TransferFailed(TransferFailure {
            path: text("/a"),
            message: text("no"),
        }),
        Frame::StdinTaken(1 << 32),
        Frame::SignalTaken(15),
        Frame::TimedOut,
    ]
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub fn hellos() -> Vec<Record> {
    [Kind::Hello, Kind::Ack, Kind::Start, Kind::Go]
        .map(|kind| Record::new(kind, [7; 32]))
        .into()
}
