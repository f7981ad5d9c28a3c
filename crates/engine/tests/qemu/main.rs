//! The engine against real QEMUs, with guests of a few instructions. Needs package qemu-system-x86, and fails without it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test"
)]

mod bench;
mod group;
mod guest;
mod saved;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banger_engine::{
    DiskSpec, Engine, EngineError, ExitCause, NetSpec, Publish, QemuEngine, Signal, VmmIdentity,
    VmmState,
};
use bench::{Bench, LONG, proc_file};

fn cause(state: VmmState) -> ExitCause {
    match state {
        VmmState::Gone { cause: Some(cause) } => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_runs_pauses_resumes_and_quits_and_leaves_no_zombie() {
    let mut bench = Bench::new();
    let spec = bench.spec(&guest::idle());
    let id = bench.start(&spec);
    let engine = bench.engine.clone();
    assert_eq!(engine.state(&id).unwrap(), VmmState::Running);
    engine.pause(&id).unwrap();
    assert_eq!(engine.state(&id).unwrap(), VmmState::Paused);
    engine.resume(&id).unwrap();
    assert_eq!(engine.state(&id).unwrap(), VmmState::Running);
    assert!(!engine.wait_gone(&id, Duration::ZERO).unwrap());
    engine.quit(&id, LONG).unwrap();
    assert_eq!(cause(bench.is_gone(&id)), ExitCause::HostQuit);
    assert!(
        !std::path::Path::new(&format!("/proc/{}", id.pid)).exists(),
        "a zombie stayed"
    );
    engine.quit(&id, LONG).unwrap();
    assert!(!engine.kill(&id, Signal::KILL).unwrap());
    assert!(matches!(engine.pause(&id), Err(EngineError::Gone { .. })));
}

#[test]
fn a_guest_that_resets_powers_off_or_panics_is_told_apart() {
    let mut bench = Bench::new();
    let spec = bench.spec(&guest::says("hello", guest::RESET));
    let id = bench.start(&spec);
    assert_eq!(cause(bench.is_gone(&id)), ExitCause::GuestReset);

    let spec = bench.spec(&guest::says(
        "Kernel panic - not syncing: no root\r\n",
        guest::RESET,
    ));
    let id = bench.start(&spec);
    let message = "no root".to_owned();
    assert_eq!(cause(bench.is_gone(&id)), ExitCause::GuestPanic { message });

    // The panic of the earlier launch is still in the same console log.
    let spec = bench.spec(&guest::says("well\r\n", guest::RESET));
    let id = bench.start(&spec);
    assert_eq!(cause(bench.is_gone(&id)), ExitCause::GuestReset);
    let console = std::fs::read_to_string(&spec.console_log).unwrap();
    assert!(
        console.contains("hello") && console.ends_with("well\r\n"),
        "{console}"
    );
}

#[test]
fn a_guest_that_powers_off_has_shut_down() {
    let mut bench = Bench::new();
    let spec = bench.spec(&guest::says("", guest::POWER_OFF));
    let id = bench.start(&spec);
    assert_eq!(cause(bench.is_gone(&id)), ExitCause::GuestShutdown);
}

#[test]
fn signals_are_told_apart() {
    let mut bench = Bench::new();
    let spec = bench.spec(&guest::idle());
    let id = bench.start(&spec);
    assert!(bench.engine.kill(&id, Signal::TERM).unwrap());
    assert_eq!(
        cause(bench.is_gone(&id)),
        ExitCause::HostSignal { signal: Some(15) }
    );

    let id = bench.start(&bench.spec(&guest::idle()));
    assert!(bench.engine.kill(&id, Signal::KILL).unwrap());
    assert_eq!(cause(bench.is_gone(&id)), ExitCause::Killed { signal: 9 });
    let stranger = QemuEngine::new().state(&id).unwrap();
    assert_eq!(
        cause(stranger),
        ExitCause::Vanished,
        "who did not start it cannot know more"
    );
}

#[test]
fn the_end_of_an_earlier_launch_in_the_folder_is_unknown_and_not_the_later_ones() {
    let mut bench = Bench::new();
    let earlier = bench.start(&bench.spec(&guest::idle()));
    bench.engine.quit(&earlier, LONG).unwrap();
    let later = bench.start(&bench.spec(&guest::says("", guest::RESET)));
    assert_eq!(cause(bench.is_gone(&later)), ExitCause::GuestReset);
    assert_eq!(
        bench.engine.state(&earlier).unwrap(),
        VmmState::Gone { cause: None }
    );
}

#[test]
fn a_stopped_vmm_delays_nobody_for_long_and_can_be_killed() {
    let mut bench = Bench::new();
    let id = bench.start(&bench.spec(&guest::idle()));
    assert!(bench.engine.kill(&id, Signal::STOP).unwrap());
    let began = Instant::now();
    // More calls than its socket accepts as waiting connections.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let error = bench.engine.state(&id).unwrap_err();
                let late = matches!(&error, EngineError::Timeout { .. } | EngineError::Io { .. });
                assert!(late, "{error:?}");
            });
        }
    });
    let error = bench
        .engine
        .quit(&id, Duration::from_millis(300))
        .unwrap_err();
    assert!(
        matches!(error, EngineError::Timeout { .. } | EngineError::Io { .. }),
        "{error:?}"
    );
    assert!(began.elapsed() < LONG);
    assert!(bench.engine.kill(&id, Signal::KILL).unwrap());
    assert_eq!(cause(bench.is_gone(&id)), ExitCause::Killed { signal: 9 });
}

/// Not a test: the next one runs it as another process, which starts a QEMU and dies.
#[test]
#[ignore = "run by a_vmm_outlives_who_started_it_and_is_adopted"]
fn start_one_and_die() {
    let mut bench = Bench::new();
    let mut spec = bench.spec(&guest::idle());
    let dir = std::env::var_os("BANGER_ENGINE_TEST_DIR").unwrap();
    spec.dir = dir.into();
    spec.console_log = spec.dir.join("a,console.log");
    let id = bench.start(&spec);
    std::fs::write(spec.dir.join("identity"), serde_json::to_vec(&id).unwrap()).unwrap();
    std::process::abort();
}

#[test]
fn a_vmm_outlives_who_started_it_and_is_adopted() {
    let mut bench = Bench::new();
    let dir = bench.path("elsewhere");
    std::fs::create_dir(&dir).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "start_one_and_die", "--ignored"])
        .env("BANGER_ENGINE_TEST_DIR", &dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "it was to abort");
    let id: VmmIdentity =
        serde_json::from_slice(&std::fs::read(dir.join("identity")).unwrap()).unwrap();
    bench.owns(&id);
    let engine = &bench.engine;
    engine.adopt(&id).unwrap();
    assert_eq!(engine.state(&id).unwrap(), VmmState::Running);
    // The layers of its jail are in the record alone.
    let found = VmmIdentity {
        jail: None,
        ..id.clone()
    };
    assert_eq!(engine.find(&id.launch_token, &dir).unwrap(), Some(found));
    let another = "another-token".parse().unwrap();
    assert_eq!(engine.find(&another, &dir).unwrap(), None);
    assert_eq!(
        engine.find(&id.launch_token, &bench.path("")).unwrap(),
        None
    );
    let reused = VmmIdentity {
        start_ticks: id.start_ticks + 1,
        ..id.clone()
    };
    assert!(matches!(
        engine.adopt(&reused),
        Err(EngineError::NotOurs { .. })
    ));
    assert!(!engine.kill(&reused, Signal::KILL).unwrap());
    engine.quit(&id, LONG).unwrap();
    assert_eq!(cause(bench.is_gone(&id)), ExitCause::HostQuit);
    assert!(matches!(
        bench.engine.adopt(&id),
        Err(EngineError::Gone { .. })
    ));
}

#[test]
fn it_has_a_session_of_its_own_no_core_dumps_and_no_descriptor_of_ours() {
    let mut bench = Bench::new();
    let leak = bench.path("leak");
    let file = std::fs::File::create(&leak).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let id = bench.start(&bench.spec(&guest::idle()));
    let stat = proc_file(id.pid, "stat");
    let session = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_ascii_whitespace()
        .nth(3)
        .unwrap();
    assert_eq!(session, id.pid.to_string());
    let limits = proc_file(id.pid, "limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let soft = core.split_ascii_whitespace().nth(4);
    assert!(matches!(soft, Some("0" | "1")), "{core}");
    // Translated guests do better with small pages.
    let status = proc_file(id.pid, "status");
    assert!(status.contains("THP_enabled:\t0\n"), "{status}");
    assert_eq!(proc_file(id.pid, "environ"), "LC_ALL=C\0");
    assert_eq!(proc_file(id.pid, "comm"), "banger-bench\n");
    for entry in std::fs::read_dir(format!("/proc/{}/fd", id.pid)).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap();
        assert_ne!(target, leak, "descriptor {} came along", file.as_raw_fd());
    }
}

#[test]
fn a_folder_deeper_than_a_socket_address_works() {
    let mut bench = Bench::new();
    let mut spec = bench.spec(&guest::idle());
    spec.dir = bench.path(&"d".repeat(200));
    std::fs::create_dir(&spec.dir).unwrap();
    let id = bench.start(&spec);
    bench.engine.adopt(&id).unwrap();
    let channel = banger_socket::connect(&id.channel_socket, LONG).unwrap();
    assert_eq!(banger_socket::peer_pid(&channel).unwrap(), id.pid);
    bench.engine.quit(&id, LONG).unwrap();
}

#[test]
fn a_second_vmm_in_the_folder_is_refused_and_the_first_runs_on() {
    let mut bench = Bench::new();
    let id = bench.start(&bench.spec(&guest::idle()));
    let error = bench
        .engine
        .start(&bench.spec(&guest::idle()), LONG)
        .unwrap_err();
    assert!(matches!(error, EngineError::Occupied { .. }), "{error}");
    assert_eq!(bench.engine.state(&id).unwrap(), VmmState::Running);
}

/// A network that publishes the guest's port 80 at a port of loopback.
fn publishing(host_port: u16, egress: bool) -> NetSpec {
    NetSpec::User {
        mac: [2, 0, 0, 0, 0, 1],
        egress,
        publish: vec![Publish {
            host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host_port,
            guest_port: 80,
        }],
    }
}

#[test]
fn a_console_that_nobody_shortens_has_an_end_and_the_guest_goes_on() {
    const MOST: u64 = 1 << 30;
    let mut bench = Bench::new();
    let spec = bench.spec(&guest::floods());
    let id = bench.start(&spec);
    let length = || spec.console_log.metadata().unwrap().len();
    // Most of its room is used up at once.
    let mut log = std::fs::OpenOptions::new()
        .append(true)
        .open(&spec.console_log)
        .unwrap();
    let fill = MOST - length() - (64 << 10);
    log.write_all(&vec![b'y'; usize::try_from(fill).unwrap()])
        .unwrap();
    let deadline = Instant::now() + LONG;
    while length() < MOST {
        assert!(Instant::now() < deadline, "{} bytes", length());
        std::thread::sleep(Duration::from_millis(10));
    }
    // What this test wrote knows no limit, and the guest wrote meanwhile.
    let full = length();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(length(), full);
    let blocks = std::os::unix::fs::MetadataExt::blocks(&spec.console_log.metadata().unwrap());
    assert!(blocks * 512 <= 65 << 20, "{blocks} blocks");
    assert_eq!(bench.engine.state(&id).unwrap(), VmmState::Running);
    // There is room again once somebody shortens it.
    bench.engine.trim(&id, 1 << 20).unwrap();
    let short = length();
    assert!(short < MOST - (60 << 20), "{short}");
    while length() == short {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_taken_port_is_named_and_nothing_runs() {
    let bench = Bench::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host_port = taken.local_addr().unwrap().port();
    let mut spec = bench.spec(&guest::idle());
    spec.net = publishing(host_port, false);
    let error = bench.engine.start(&spec, LONG).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot publish port {host_port} of 127.0.0.1: another process listens there")
    );
    assert_eq!(
        bench.engine.find(&spec.launch_token, &spec.dir).unwrap(),
        None
    );
}

#[test]
fn a_published_port_is_open_on_the_host() {
    let mut bench = Bench::new();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host_port = free.local_addr().unwrap().port();
    drop(free);
    let mut spec = bench.spec(&guest::idle());
    spec.net = publishing(host_port, false);
    bench.start(&spec);
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, host_port)).unwrap();
}

#[test]
fn root_publishes_a_port_below_1024_and_keeps_no_other_capability() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not tried: only root listens at such ports");
    }
    let mut bench = Bench::new();
    let free = (600..1024).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let host_port = free.unwrap();
    let mut spec = bench.spec(&guest::idle());
    spec.net = publishing(host_port, true);
    let id = bench.start(&spec);
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, host_port)).unwrap();
    // CAP_NET_BIND_SERVICE is number 10.
    let status = proc_file(id.pid, "status");
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(
            status.contains(&format!("{set}:\t{:016x}\n", 1 << 10)),
            "{status}"
        );
    }
    spec.net = NetSpec::None;
    spec.dir = bench.path("second");
    std::fs::create_dir(&spec.dir).unwrap();
    spec.launch_token = "another-token-1".parse().unwrap();
    let id = bench.start(&spec);
    let status = proc_file(id.pid, "status");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            status.contains(&format!("{set}:\t{:016x}\n", 0)),
            "{status}"
        );
    }
}

#[test]
fn a_missing_kernel_or_disk_is_named() {
    let bench = Bench::new();
    let mut spec = bench.spec(&guest::idle());
    spec.kernel = "/nonexistent/vmlinux".into();
    let error = bench.engine.start(&spec, LONG).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/vmlinux"), "{error}");
    let mut spec = bench.spec(&guest::idle());
    let path = "/nonexistent/work.ext4".into();
    spec.disks = vec![DiskSpec {
        path,
        below: None,
        serial: "work".into(),
        read_only: false,
    }];
    let error = bench.engine.start(&spec, LONG).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/work.ext4"), "{error}");
}

#[test]
fn a_base_is_shared_and_a_work_disk_is_not() {
    let mut bench = Bench::new();
    let disk = |name: &str, read_only| DiskSpec {
        path: bench.path(name),
        below: None,
        serial: name.into(),
        read_only,
    };
    let disks = vec![disk("base", true), disk("work", false)];
    let other_work = disk("other", false);
    for disk in disks.iter().chain([&other_work]) {
        std::fs::File::create(&disk.path)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
    }
    let mut first = bench.spec(&guest::idle());
    first.disks.clone_from(&disks);
    bench.start(&first);

    let mut second = bench.spec(&guest::idle());
    second.dir = bench.path("second");
    std::fs::create_dir(&second.dir).unwrap();
    second.disks = vec![disks[0].clone(), other_work];
    bench.start(&second);

    let mut third = bench.spec(&guest::idle());
    third.dir = bench.path("third");
    std::fs::create_dir(&third.dir).unwrap();
    third.disks = vec![disks[1].clone()];
    let error = bench.engine.start(&third, LONG).unwrap_err().to_string();
    assert!(error.contains("lock"), "{error}");
}

#[test]
fn an_engine_without_its_program_says_what_to_install() {
    let bench = Bench::new();
    let engine = QemuEngine::with_program(None);
    let error = engine
        .start(&bench.spec(&guest::idle()), LONG)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "no qemu-system-x86_64 found; install package qemu-system-x86"
    );
    assert!(engine.probe().available.is_err());
}

#[test]
fn a_program_that_is_no_vmm_is_ended_at_the_deadline() {
    let bench = Bench::new();
    let script = bench.path("never-answers");
    std::fs::write(&script, "#!/bin/sh\nexec sleep 600\n").unwrap();
    rustix::fs::chmod(&script, rustix::fs::Mode::RWXU).unwrap();
    let engine = QemuEngine::with_program(Some(script));
    let spec = bench.spec(&guest::idle());
    let error = engine.start(&spec, Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, EngineError::Timeout { .. }), "{error}");
    assert_eq!(engine.find(&spec.launch_token, &spec.dir).unwrap(), None);
}
