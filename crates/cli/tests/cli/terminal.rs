//! A real pseudo-terminal: raw while the guest command runs, and afterwards as it was.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use banger_guest::ExitStatus;
use banger_guest::wire::frame::{Frame, FrameReader, write};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use tokio::io::split;

use crate::fake_daemon::{Answer, DEADLINE, FakeDaemon, finish};
use crate::sample::vm;

struct Pty {
    master: OwnedFd,
    slave: File,
}

impl Pty {
    fn new(rows: u16, cols: u16) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let slave = std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            OpenptFlags::NOCTTY.bits().cast_signed(),
        )
        .open(name.to_str().unwrap())
        .unwrap();
        let pty = Self { master, slave };
        pty.resize(rows, cols);
        pty
    }

    fn resize(&self, rows: u16, cols: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).unwrap();
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.slave).unwrap()
    }

    /// Starts a command whose controlling terminal this is.
    fn start(&self, daemon: &FakeDaemon, words: &[&str]) -> Child {
        let wanted = daemon.command(words);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(wanted.get_program());
        command.args(wanted.get_args()).env_clear();
        for (name, value) in wanted.get_envs() {
            command.env(name, value.unwrap());
        }
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        let command = command.env("TERM", "vt220").env("PATH", "/usr/bin:/bin");
        command.stdin(end()).stdout(end()).stderr(end());
        command.spawn().unwrap()
    }

    fn types(&self, text: &str) {
        File::from(self.master.try_clone().unwrap())
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn shows(&self, wanted: &str) {
        let mut master = File::from(self.master.try_clone().unwrap());
        let mut seen = String::new();
        let mut chunk = [0; 1024];
        while !seen.contains(wanted) {
            let count = master.read(&mut chunk).unwrap();
            seen.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
    }
}

/// A guest that reports every frame, and ends when `exit` comes as input.
fn reporting_daemon() -> (FakeDaemon, mpsc::Receiver<Frame>) {
    let (report, reported) = mpsc::channel();
    let daemon = FakeDaemon::new(move |asked| {
        if !crate::exec::is_exec(&asked.what) {
            return Answer::ok(vm("web", 1, "running"));
        }
        let report = report.clone();
        Answer::upgrade(|stream| async move {
            let (from, mut to) = split(stream);
            let mut frames = FrameReader::new(from);
            let ready = Frame::Stdout(bytes::Bytes::from_static(b"ready"));
            write(&mut to, &ready).await.unwrap();
            while let Ok(Some(frame)) = frames.next().await {
                let ends = frame == Frame::Stdin(bytes::Bytes::from_static(b"exit"));
                report.send(frame).unwrap();
                if ends {
                    let exit = Frame::Exit(ExitStatus::Code(3));
                    write(&mut to, &exit).await.unwrap();
                }
            }
        })
    });
    (daemon, reported)
}

fn is_raw(modes: &Termios) -> bool {
    !modes
        .local_modes
        .intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
}

#[test]
fn a_shell_gets_every_key_and_every_size_and_leaves_the_terminal_as_it_was() {
    let pty = Pty::new(31, 97);
    let before = pty.modes();
    let (daemon, reported) = reporting_daemon();
    let child = pty.start(&daemon, &["exec", "web"]);
    pty.shows("ready");
    assert!(is_raw(&pty.modes()));
    let exec = &daemon.asked()[0].body;
    assert_eq!(
        exec["terminal"],
        serde_json::json!({"rows": 31, "cols": 97})
    );
    assert_eq!(
        (&exec["term"], &exec["argv"]),
        (&"vt220".into(), &serde_json::json!([]))
    );

    pty.types("\x03");
    let ctrl_c = Frame::Stdin(bytes::Bytes::from_static(b"\x03"));
    assert_eq!(reported.recv_timeout(DEADLINE).unwrap(), ctrl_c);
    pty.resize(40, 120);
    let resized = Frame::Resize {
        rows: 40,
        cols: 120,
    };
    assert_eq!(reported.recv_timeout(DEADLINE).unwrap(), resized);
    pty.types("exit");
    assert_eq!(finish(child).exit, 3);
    assert_eq!(format!("{:?}", pty.modes()), format!("{before:?}"));
}

#[test]
fn a_signal_that_ends_the_command_leaves_the_terminal_as_it_was() {
    for (signal, exit) in [(Signal::HUP, 129), (Signal::TERM, 143)] {
        let pty = Pty::new(24, 80);
        let before = pty.modes();
        let (daemon, reported) = reporting_daemon();
        let child = pty.start(&daemon, &["exec", "web"]);
        pty.shows("ready");
        let pid = child_of(Pid::from_child(&child));
        kill_process(pid, signal).unwrap();
        // A shell at a terminal ignores it (bash(1)): it gets a hang-up instead.
        assert_eq!(finish(child).exit, exit, "{signal:?}");
        assert!(reported.try_recv().is_err(), "{signal:?} is not passed on");
        assert_eq!(format!("{:?}", pty.modes()), format!("{before:?}"));
    }
}

/// `setsid --wait` waits for the command in a child only when it must fork; else it is the command.
fn child_of(pid: Pid) -> Pid {
    let raw = pid.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{raw}/task/{raw}/children")).unwrap();
    let child = children.split_whitespace().next();
    child.map_or(pid, |child| Pid::from_raw(child.parse().unwrap()).unwrap())
}
