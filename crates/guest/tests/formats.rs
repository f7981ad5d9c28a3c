//! Messages, frames and the hello between host and agent of any two builds, byte by byte.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_formats::{Golden, every_variant};
use banger_guest::limits::PROTOCOL_VERSION;
use banger_guest::wire::frame::{Frame, decode};
use banger_guest::wire::handshake::{Kind, Record};
use banger_guest::{
    Answer, Attach, Authorities, Caller, ClockChange, ClockReading, ClockSet, CommandStats,
    Configure, Configured, ConnectTarget, Content, CpuTimes, Detached, DetachedCommand,
    DetachedEnd, DiskStats, Door, ExecFailure, ExecFailureKind, ExecRequest, ExitStatus, Failure,
    FailureKind, Found, GetChanges, GetFiles, GrowDisk, GuestFile, GuestMount, GuestPath,
    GuestStats, IdentityName, IdentityRow, InitMode, InstalledKernel, Interface, InterfaceAddress,
    Listener, Listening, MacAddr, MemoryStats, ModulesPlan, Net, OwnKernel, Phase, Pong, PutFiles,
    Relay, Request, RootPlan, RunningInit, SetClock, ShutdownMode, Stage, TmpMode, TransferDone,
    TransferFailure, TransportProtocol, TreeFiles, TreePath, Tty,
};
use bytes::{Bytes, BytesMut};

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn path(path: &str) -> GuestPath {
    path.parse().unwrap()
}

fn files() -> Vec<GuestFile> {
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

fn configure(init: InitMode) -> Configure {
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

fn exec() -> ExecRequest {
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
fn requests_of_version_1() -> Vec<Request> {
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
const NEW_FILES_IN_VERSION_3: usize = 2;

/// Number of frames that version 1 did not have.
const NEW_IN_VERSION_2: usize = 3;

fn tree() -> TreeFiles {
    TreeFiles {
        root: path("/root/a"),
        files: vec![
            TreePath::new("b/c").unwrap(),
            TreePath::new(*b"\xff%").unwrap(),
        ],
    }
}

fn requests() -> Vec<Request> {
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

fn failures() -> Vec<ExecFailure> {
    use ExecFailureKind as K;
    [K::NotFound, K::Permission, K::Cwd, K::User, K::Other]
        .map(|kind| ExecFailure {
            kind,
            message: text("no"),
        })
        .into()
}

fn pongs() -> Vec<Answer<Pong>> {
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

fn configured() -> Vec<Configured> {
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

fn rows() -> Vec<IdentityRow> {
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

fn detached() -> Vec<Detached> {
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

fn stats() -> GuestStats {
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

fn clock_reading() -> ClockReading {
    ClockReading {
        unix_ns: 1_795_708_800_000_000_000,
        monotonic_ns: 1_500_000_000,
    }
}

fn clock_sets() -> Vec<ClockSet> {
    [ClockChange::Stepped, ClockChange::Slewed, ClockChange::Left]
        .map(|change| ClockSet {
            offset_ns: -7,
            change,
        })
        .into()
}

fn listeners() -> Vec<Listener> {
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

fn found() -> Vec<Found> {
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

fn frames() -> Vec<Frame> {
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hellos() -> Vec<Record> {
    [Kind::Hello, Kind::Ack, Kind::Start, Kind::Go]
        .map(|kind| Record::new(kind, [7; 32]))
        .into()
}

#[test]
fn every_message_is_that_of_its_newest_golden_file() {
    every_variant!(
        &requests(),
        Request {
            Ping,
            Configure,
            Exec,
            Detach,
            Detached,
            Attach,
            PutFiles,
            GetFiles,
            GetChanges,
            GetRoot,
            Connect,
            DigestFiles,
            RemoveFiles,
            Ports,
            WatchPorts,
            Stats,
            ReadClock,
            SetClock,
            GrowDisk,
            Hold,
            InstalledKernel,
            Sync,
            Shutdown
        }
    );
    every_variant!(
        &files(),
        GuestFile {
            Write,
            WriteUnlessEdited,
            Guard,
            WriteIfAbsent,
            AddLineOnce,
            Fstab,
            Symlink,
            Dir,
            Remove
        }
    );
    let kinds = failures();
    every_variant!(
        kinds.iter().map(|failure| &failure.kind),
        ExecFailureKind {
            NotFound,
            Permission,
            Cwd,
            User,
            Other
        }
    );
    every_variant!(
        &found(),
        Found {
            Absent,
            File,
            Link,
            Directory,
            Other
        }
    );
    every_variant!(
        configured().iter().map(|it| &it.init),
        RunningInit {
            Agent,
            Systemd,
            Other
        }
    );
    every_variant!(
        listeners().iter().map(|it| &it.protocol),
        TransportProtocol { Tcp, Udp }
    );
    let golden = golden();
    assert_eq!(golden.holds("requests.json", &requests()), Ok(()));
    assert_eq!(golden.holds("pong.json", &pongs()), Ok(()));
    assert_eq!(golden.holds("configured.json", &configured()), Ok(()));
    every_variant!(
        rows().iter().map(|row| &row.name),
        IdentityName {
            Randomness,
            Clock,
            BootId,
            Hostname,
            MachineId,
            MacAddress,
            MachineUuid,
            Generation
        }
    );
    assert_eq!(golden.holds("detached.json", &detached()), Ok(()));
    let installed = Answer::Ok(Some(InstalledKernel {
        release: text("6.1.0-57-cloud-amd64"),
        image: path("/boot/vmlinuz-6.1.0-57-cloud-amd64"),
        config: Some(path("/boot/config-6.1.0-57-cloud-amd64")),
        modules: path("/lib/modules/6.1.0-57-cloud-amd64"),
    }));
    assert_eq!(golden.holds("installed-kernel.json", &installed), Ok(()));
    let failed: Answer<Configured> = Answer::Failed(Failure {
        part: text("kernel 6.1.0-57-cloud-amd64"),
        check: text("be the one that booted"),
        message: text("it is not"),
        kind: FailureKind::OtherKernel,
    });
    assert_eq!(golden.holds("failed.json", &failed), Ok(()));
    assert_eq!(golden.holds("stats.json", &stats()), Ok(()));
    assert_eq!(golden.holds("clock.json", &clock_reading()), Ok(()));
    every_variant!(
        clock_sets().iter().map(|set| &set.change),
        ClockChange {
            Stepped,
            Slewed,
            Left
        }
    );
    assert_eq!(golden.holds("clock-set.json", &clock_sets()), Ok(()));
    assert_eq!(golden.holds("listeners.json", &listeners()), Ok(()));
    assert_eq!(golden.holds("found.json", &found()), Ok(()));
    let listening = [Listening::Port(80), Listening::Socket(text("/run/a"))];
    every_variant!(&listening, Listening { Port, Socket });
    assert_eq!(golden.holds("listening.json", &listening), Ok(()));
    let caller = Caller {
        address: Some("127.0.0.1:80".parse().unwrap()),
    };
    assert_eq!(golden.holds("caller.json", &caller), Ok(()));
}

#[test]
fn every_frame_and_hello_has_the_bytes_of_its_newest_golden_file() {
    every_variant!(
        &frames(),
        Frame {
            Stdin,
            StdinEof,
            Resize,
            Signal,
            Started,
            Stdout,
            Stderr,
            Exit,
            Failed,
            Data,
            End,
            Done,
            TransferFailed,
            StdinTaken,
            SignalTaken,
            TimedOut
        }
    );
    let bytes: Vec<_> = frames()
        .iter()
        .map(|frame| hex(&frame.to_bytes().unwrap()))
        .collect();
    assert_eq!(golden().holds("frames.json", &bytes), Ok(()));
    let bytes: Vec<_> = hellos()
        .iter()
        .map(|hello| hex(&hello.to_bytes()))
        .collect();
    assert_eq!(golden().holds("hello.json", &bytes), Ok(()));
    assert_eq!(
        golden().holds("protocol-version.json", &PROTOCOL_VERSION),
        Ok(())
    );
}

#[test]
fn what_version_1_said_is_understood() {
    let golden = golden();
    assert_eq!(
        golden.read::<Vec<Request>>(1, "requests.json"),
        requests_of_version_1()
    );
    let known =
        |pong: &Answer<Pong>| !matches!(pong, Answer::Ok(pong) if pong.phase == Phase::Held);
    let pongs: Vec<_> = pongs().into_iter().filter(known).collect();
    assert_eq!(golden.read::<Vec<Answer<Pong>>>(1, "pong.json"), pongs);
    let without_rows = |configured: Configured| Configured {
        rows: Vec::new(),
        ..configured
    };
    assert_eq!(
        golden.read::<Vec<Configured>>(1, "configured.json"),
        configured()
            .into_iter()
            .map(without_rows)
            .collect::<Vec<_>>()
    );
    assert_eq!(golden.read::<Vec<Detached>>(1, "detached.json"), detached());
    let older = GuestStats {
        commands: Vec::new(),
        ..stats()
    };
    assert_eq!(golden.read::<GuestStats>(1, "stats.json"), older);
    assert_eq!(
        golden.read::<Vec<Listener>>(1, "listeners.json"),
        listeners()
    );
    assert_eq!(golden.read::<Vec<Found>>(1, "found.json"), found());
    let mut bytes = BytesMut::new();
    for frame in golden.read::<Vec<String>>(1, "frames.json") {
        bytes.extend_from_slice(&unhex(&frame));
    }
    let mut seen = Vec::new();
    while let Some(frame) = decode(&mut bytes).unwrap() {
        seen.push(frame);
    }
    assert_eq!(seen, frames()[..frames().len() - NEW_IN_VERSION_2]);
}

#[test]
fn a_hello_of_version_1_is_recognised() {
    let read = |text: &String| Record::from_bytes(&unhex(text).try_into().unwrap()).unwrap();
    let hellos: Vec<String> = golden().read(1, "hello.json");
    let seen: Vec<_> = hellos.iter().map(read).collect();
    let kinds = [Kind::Hello, Kind::Ack, Kind::Start, Kind::Go];
    let expected = kinds.map(|kind| Record {
        version: 1,
        kind,
        nonce: [7; 32],
    });
    assert_eq!(seen, expected);
}
