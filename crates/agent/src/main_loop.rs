//! The service: serves the host, in the initramfs first and then in the guest's own root.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use banger_guest::Phase;
use banger_guest::limits::MAX_CALLS;
use banger_guest::wire::handshake::{self, HandshakeError};

use crate::boot::hardware::Hardware;
use crate::boot::modules::{self, Modules};
use crate::boot::{channel, early, port::Port};
use crate::cgroup;
use crate::clock;
use crate::console::say;
use crate::guest_state::{Defaults, Guest};
use crate::keeper;
use crate::memory;
use crate::program::{AGAIN, FRESH, name_ourselves};
use crate::serve::serve;
use crate::setup::kernel_limits;
use crate::setup::machine::GuestMachine;
use crate::setup::stages::Stages;
use crate::setup::state;

/// After `SIGTERM`, time for the last answer to leave.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// Time for an old conversation to be ended.
const PAUSE: Duration = Duration::from_millis(500);
/// Each file transfer has a thread while it lasts; the other calls must find one too.
const BLOCKING_THREADS: usize = MAX_CALLS * 2;
/// After this long without a host, the console says so, once.
const LONELY: Duration = Duration::from_secs(30);

/// Runs the service until it is told to end.
///
/// # Errors
/// When there is no channel, or no runtime.
pub fn run(how: &str) -> io::Result<()> {
    let mut stages = Stages::since_boot();
    if how == FRESH
        && let Err(error) = early::mount_kernel_file_systems()
    {
        say(error);
    }
    name_ourselves()?;
    let control = take_standard_input()?;
    // The last to be ended when memory runs out. Commands start with the usual score, see `sys`.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    kernel_limits::raise_own();
    let (phase, known, modules) = if how == FRESH {
        (Phase::Waiting, None, Some(load_modules()?))
    } else {
        come_back()?;
        (Phase::Running, state::load(), None)
    };
    let port = channel::open()
        .inspect_err(|error| say(format_args!("no channel to the host: {error}")))?;
    stages.done("channel");
    let machine = GuestMachine::new(control, stages, modules);
    let mut defaults = Defaults::default();
    if let Some(known) = known {
        machine.relay(&known.relays, known.door)?;
        defaults = known.defaults;
    }
    let guest = Guest::new(Arc::new(machine), phase, defaults);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = serve_hosts(port, how, &guest) => ended,
            ended = until_terminated() => ended,
            never = memory::give_back_when_idle() => never,
        }
    })
}

/// Takes the place of a service that died: in its lock, and in its control group, whoever has started this process.
fn come_back() -> io::Result<()> {
    keeper::serve_alone()?;
    clock::end_old_slewing();
    if let Err(error) = cgroup::enter() {
        say(format_args!(
            "the agent has no control group of its own: {error}"
        ));
    }
    if let Some(commands) = cgroup::of_commands() {
        cgroup::sweep(&commands);
    }
    Ok(())
}

/// Loads the modules that the channel needs, and has the others loaded on a thread while the host is met.
fn load_modules() -> io::Result<JoinHandle<()>> {
    let complain = |name: &str, error| say(format_args!("module {name}: {error}"));
    let rest = match Modules::of(&Hardware::look()) {
        Ok(modules) => {
            modules::load_all(&modules.channel, complain);
            modules.rest
        }
        Err(error) => {
            say(format_args!("cannot read the list of modules: {error}"));
            Vec::new()
        }
    };
    std::thread::Builder::new()
        .name("modules".to_owned())
        .spawn(move || modules::load_all(&rest, complain))
}

/// One host after the other.
async fn serve_hosts(port: OwnedFd, how: &str, guest: &Arc<Guest>) -> io::Result<()> {
    let mut port = Port::new(port)?;
    if how == AGAIN && port.has_host()? {
        // Whether that host reads it in time or not, it will hear of us when it greets the next time.
        let _ = tokio::time::timeout(PAUSE, handshake::end_old_conversation(&mut port)).await;
    }
    let lonely = async {
        tokio::time::sleep(LONELY).await;
        if guest.phase() == Phase::Waiting {
            say("still waiting for the host to say what this guest is");
        }
        std::future::pending::<io::Result<()>>().await
    };
    let serving = async {
        loop {
            port.connected().await?;
            match serve(&mut port, guest).await {
                // The host is gone before it said a word, or its words were none: the next one, please.
                Ok(()) | Err(HandshakeError::Closed) => {}
                Err(HandshakeError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    };
    tokio::select! {
        ended = serving => ended,
        never = lonely => never,
    }
}

async fn until_terminated() -> io::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    terminated.recv().await;
    tokio::time::sleep(LAST_WORDS).await;
    Ok(())
}

/// Takes the control socket off standard input, where commands must not find it. `None` when it is none.
fn take_standard_input() -> io::Result<Option<UnixStream>> {
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = File::options().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let is_socket = rustix::fs::fstat(input.as_fd())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket());
    Ok(is_socket.then(|| UnixStream::from(input)))
}
