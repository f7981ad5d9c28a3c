//! PID 1: starts the service, does what it orders, and survives it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use banger_guest::ShutdownMode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_move, mount_remount};
use rustix::process::{Pid, Signal, WaitOptions, chroot, kill_process_group, wait, waitpid};
use rustix::system::{RebootCommand, reboot};

use crate::console::say;
use crate::control::{self, Order};
use crate::keeper;
use crate::power;
use crate::program;
use crate::setup::root::SYSTEM_MOUNT;
use crate::sys;

/// Time of programs between `SIGTERM` and `SIGKILL`.
const GRACE: Duration = Duration::from_millis(1500);
/// The word behind `--` on the kernel's command line that has PID 1 say on the console that it runs, for whoever measures
/// boots: the kernel gives such words to `/init` as its arguments (Documentation/admin-guide/kernel-parameters.rst).
const ANNOUNCE: &str = "announce";
/// Starts of a service that dies again and again before it has a root.
const ATTEMPTS: u32 = 3;
/// Between a signal to PID 1 and the end of everything: the exit code of the command that sent it is to reach the host.
const ASKED: Duration = Duration::from_millis(100);
/// Between the death of the service and its next start.
const PAUSE: Duration = Duration::from_millis(200);

/// Set when everything is being ended: then nothing is started again.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Runs PID 1, and never returns to the kernel, which would panic.
pub fn run() -> ! {
    if std::env::args().skip(1).any(|word| word == ANNOUNCE) {
        say("/init runs");
    }
    let mut attempt = 1;
    loop {
        let outcome = serve_orders();
        say(format_args!(
            "the agent ended before the guest had a root ({outcome}), attempt {attempt} of {ATTEMPTS}"
        ));
        if attempt == ATTEMPTS {
            power_off(ShutdownMode::Poweroff);
        }
        attempt += 1;
        std::thread::sleep(PAUSE);
    }
}

/// The service, as PID 1 sees it.
struct Service {
    pid: AtomicI32,
    socket: Mutex<UnixStream>,
}

fn serve_orders() -> String {
    let (socket, pid) = match start(program::FRESH) {
        Ok(started) => started,
        Err(error) => return format!("cannot start: {error}"),
    };
    loop {
        let order = match control::take(&socket) {
            Ok(Some(order)) => order,
            Ok(None) => return format!("status {:?}", waitpid(Some(pid), WaitOptions::empty())),
            Err(error) => {
                say(&error);
                continue;
            }
        };
        let result = match order {
            Order::Enter(path) => enter(&path),
            Order::Become(path) => Err(become_init(&path)),
            Order::Stay => {
                let _ = control::answer(&socket, &Ok(()));
                stay(socket, pid);
            }
            Order::ShutDown(mode) => {
                let _ = control::answer(&socket, &Ok(()));
                power_off(mode);
            }
        };
        if let Err(error) = &result {
            say(error);
        }
        let _ = control::answer(&socket, &result);
    }
}

/// Starts the service with its end of a fresh socket pair as standard input.
fn start(how: &str) -> io::Result<(UnixStream, Pid)> {
    let (ours, theirs) = UnixStream::pair()?;
    // The first service mounts `/proc` itself, after it began: the start of a Rust program reads its own memory map where
    // it can (std, `pthread_getattr_np(3)`), which is 10 ms under emulation and of no use here.
    let program = if Path::new(program::ITSELF).exists() {
        program::ITSELF
    } else {
        program::IN_INITRAMFS
    };
    let mut command = Command::new(program);
    // A leading '@' spares the process when systemd ends all others, as it serves until the very end
    // (systemd, "Storage Daemons for the Root File System").
    command
        .arg0(program::NAME)
        .arg(how)
        .stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = command.spawn()?;
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("no pid"))?;
    Ok((ours, pid))
}

/// Makes `path`, a mount, the root (switch_root(8)). The service does the same for itself afterwards.
fn enter(path: &Path) -> io::Result<()> {
    std::env::set_current_dir(path)?;
    mount_move(".", "/")?;
    chroot(".")?;
    std::env::set_current_dir("/")
}

/// Becomes the image's init; returns only when that fails.
fn become_init(path: &Path) -> io::Error {
    let keeper = Command::new(program::ITSELF)
        .arg0(program::NAME)
        .arg(keeper::KEEP)
        .stdin(Stdio::null())
        .spawn();
    if let Err(error) = keeper {
        say(format_args!("nobody will restart the agent: {error}"));
    }
    let mut init = Command::new(path);
    init.env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("TERM", "linux");
    if let Ok(console) = File::options().read(true).write(true).open("/dev/console") {
        for (slot, name) in [(0, "input"), (1, "output"), (2, "error")] {
            let Ok(copy) = console.try_clone() else {
                say(format_args!("init gets no standard {name}"));
                continue;
            };
            match slot {
                0 => init.stdin(copy),
                1 => init.stdout(copy),
                _ => init.stderr(copy),
            };
        }
    }
    init.exec()
}

/// Stays PID 1: this thread takes orders, another one reaps and restarts.
fn stay(socket: UnixStream, pid: Pid) -> ! {
    let service: &'static Service = Box::leak(Box::new(Service {
        pid: AtomicI32::new(pid.as_raw_nonzero().get()),
        socket: Mutex::new(socket),
    }));
    let spawned = std::thread::Builder::new()
        .name("reaper".to_owned())
        .spawn(move || reap(service));
    if let Err(error) = spawned {
        say(format_args!("cannot reap: {error}"));
    }
    if let Err(error) = take_signals() {
        say(format_args!("signals to PID 1 are lost: {error}"));
    }
    loop {
        let socket = service
            .socket
            .lock()
            .ok()
            .and_then(|socket| socket.try_clone().ok());
        let order = socket.as_ref().map(control::take);
        match (order, socket) {
            (Some(Ok(Some(Order::ShutDown(mode)))), Some(socket)) => {
                let _ = control::answer(&socket, &Ok(()));
                power_off(mode);
            }
            (Some(Ok(Some(_))), Some(socket)) => {
                let refusal = Err(io::Error::other("the guest has its root and its init"));
                let _ = control::answer(&socket, &refusal);
            }
            // The service died, and the reaper starts the next one.
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// Takes signals of programs of the guest for orders, on a thread of their own. The kernel drops those to PID 1 that have
/// no handler.
fn take_signals() -> io::Result<()> {
    let signals = sys::signals_of(&power::SIGNALS.map(|(signal, _)| signal))?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut number = [0];
            loop {
                match rustix::io::read(&signals, &mut number) {
                    Ok(1) => {}
                    Err(Errno::INTR) => continue,
                    _ => return,
                }
                let told = power::SIGNALS
                    .into_iter()
                    .find(|(signal, _)| signal.as_raw() == i32::from(number[0]));
                if let Some((_, mode)) = told {
                    std::thread::sleep(ASKED);
                    power_off(mode);
                }
            }
        })
        .map(drop)
}

/// Waits for children for ever: orphans end here, and the service is started again.
fn reap(service: &'static Service) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status)))
                if pid.as_raw_nonzero().get() == service.pid.load(Ordering::Relaxed) =>
            {
                restart(service, &format!("{status:?}"));
            }
            Ok(_) | Err(Errno::INTR) => {}
            // No child at all: the service could not be started. Try again.
            Err(_) => {
                std::thread::sleep(PAUSE);
                restart(service, "it was not there");
            }
        }
    }
}

fn restart(service: &Service, why: &str) {
    std::thread::sleep(PAUSE);
    if STOPPING.load(Ordering::Relaxed) {
        return;
    }
    say(format_args!("the agent ended ({why}) and is started again"));
    match start(program::AGAIN) {
        Ok((socket, pid)) => {
            service
                .pid
                .store(pid.as_raw_nonzero().get(), Ordering::Relaxed);
            if let Ok(mut current) = service.socket.lock() {
                *current = socket;
            }
        }
        Err(error) => say(format_args!("cannot start the agent: {error}")),
    }
}

/// Ends everything, orderly.
fn power_off(mode: ShutdownMode) -> ! {
    STOPPING.store(true, Ordering::Relaxed);
    signal_all(Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while children_exist() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal_all(Signal::KILL);
    rustix::fs::sync();
    for place in ["/root", "/", SYSTEM_MOUNT] {
        // What cannot be made read-only has been written by the sync above.
        let _ = mount_remount(place, MountFlags::RDONLY, c"");
    }
    let command = match mode {
        ShutdownMode::Poweroff => RebootCommand::PowerOff,
        ShutdownMode::Reboot => RebootCommand::Restart,
    };
    loop {
        if let Err(error) = reboot(command) {
            say(format_args!("cannot {mode:?}: {error}"));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Signals every process but this one.
fn signal_all(signal: Signal) {
    // The group of number 1 is how kill(2) spells all processes. There may be none left.
    let _ = kill_process_group(Pid::INIT, signal);
}

/// Orphans become children of PID 1, so without children there is nobody.
fn children_exist() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
