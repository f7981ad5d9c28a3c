//! The guest as a whole: applies a configuration from first to last, and shuts down.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use banger_guest::{Configure, Configured, Failure, InitMode, RunningInit, ShutdownMode};
use rustix::process::{Pid, chroot, kill_process};

use super::root::{NEW_ROOT, assemble, empty_old_root};
use super::stages::Stages;
use super::state::{self, State};
use super::{files, identity, mounts, net};
use crate::control::{self, Order};
use crate::guest::{Defaults, Machine, failure};
use crate::report::stats::boot_id;
use crate::sys;

const INIT: &str = "/sbin/init";
/// What systemd, as PID 1, takes for `poweroff.target` and `reboot.target`: `SIGRTMIN+4` and `+5` (systemd(1)).
const SYSTEMD_POWEROFF: u8 = 38;
const SYSTEMD_REBOOT: u8 = 39;

/// The machine that this runs on.
pub struct GuestMachine {
    /// To PID 1, while that is ours.
    control: Option<UnixStream>,
    boot: Mutex<Boot>,
}

/// What is left of the boot, for the first configuration.
struct Boot {
    stages: Stages,
    /// Still loading modules.
    modules: Option<JoinHandle<()>>,
    /// A configuration began to build the root. What it left behind when it failed fits no second attempt.
    begun: bool,
}

impl GuestMachine {
    /// A machine whose PID 1 listens on `control`, and which is complete when `modules` is done.
    #[must_use]
    pub fn new(
        control: Option<UnixStream>,
        stages: Stages,
        modules: Option<JoinHandle<()>>,
    ) -> Self {
        Self {
            control,
            boot: Mutex::new(Boot {
                stages,
                modules,
                begun: false,
            }),
        }
    }

    fn order(&self, order: &Order) -> io::Result<()> {
        match &self.control {
            Some(control) => control::give(control, order),
            None => Err(io::Error::other("PID 1 is not ours")),
        }
    }

    fn build_root(
        &self,
        configure: &Configure,
        stages: &mut Stages,
    ) -> Result<RunningInit, Failure> {
        assemble(&configure.root, configure.init, stages)?;
        self.enter()
            .map_err(|error| failure("root", "enter", error))?;
        stages.done("enter root");
        net::apply_loopback()?;
        configure.mounts.iter().try_for_each(mounts::mount_extra)?;
        Ok(match configure.init {
            InitMode::Agent => RunningInit::Agent,
            InitMode::Auto => image_init(),
        })
    }

    /// PID 1 enters the new root, and this process after it.
    fn enter(&self) -> io::Result<()> {
        let old_root = File::open("/")?;
        std::env::set_current_dir(NEW_ROOT)?;
        self.order(&Order::Enter(NEW_ROOT.into()))?;
        // The directory that this process is in is the root of all now.
        chroot(".")?;
        std::env::set_current_dir("/")?;
        empty_old_root(&old_root);
        Ok(())
    }

    fn start_init(&self, init: RunningInit) -> Result<(), Failure> {
        let order = match init {
            RunningInit::Agent => Order::Stay,
            RunningInit::Systemd | RunningInit::Other => Order::Become(INIT.into()),
        };
        self.order(&order)
            .map_err(|error| failure("init", format!("{order:?}"), error))
    }
}

impl Machine for GuestMachine {
    fn configure(&self, configure: &Configure) -> Result<Configured, Failure> {
        let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        boot.stages.done("wait for host");
        if let Some(modules) = boot.modules.take() {
            // A panic in there has been told on the console; what is missing will be told by who misses it.
            let _ = modules.join();
            boot.stages.done("wait for modules");
        }
        let known = state::load();
        let init = match &known {
            // A restored or forked guest: its root and its init are there.
            Some(state) => state.init,
            None if boot.begun => {
                let cause = "an earlier configuration failed half-way; start the guest again";
                return Err(failure("guest", "is fresh", cause));
            }
            None => {
                boot.begun = true;
                self.build_root(configure, &mut boot.stages)?
            }
        };
        let stages = &mut boot.stages;
        let root = Path::new("/");
        identity::apply(configure, root)?;
        configure
            .files
            .iter()
            .try_for_each(|file| files::apply(root, file))?;
        stages.done("identity and files");
        if let Some(wanted) = &configure.net {
            net::apply(wanted)?;
            stages.done("network");
        }
        let defaults = Defaults {
            env: configure.env.clone(),
            cwd: configure.cwd.clone(),
        };
        state::save(&State { init, defaults })
            .map_err(|error| failure("agent", "remember its state", error))?;
        if known.is_none() {
            self.start_init(init)?;
            stages.done("start init");
        }
        let kernel = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        Ok(Configured {
            init,
            stages: stages.list(),
            boot_id: boot_id(),
            kernel,
        })
    }

    fn shut_down(&self, mode: ShutdownMode) -> Result<(), Failure> {
        let fail = |error: io::Error| failure("init", format!("{mode:?}").to_lowercase(), error);
        match state::load().map_or(RunningInit::Agent, |state| state.init) {
            RunningInit::Agent => self.order(&Order::ShutDown(mode)).map_err(fail),
            RunningInit::Systemd => {
                let number = if mode == ShutdownMode::Poweroff {
                    SYSTEMD_POWEROFF
                } else {
                    SYSTEMD_REBOOT
                };
                let signal =
                    sys::signal(number).ok_or_else(|| fail(io::Error::other("no such signal")))?;
                kill_process(Pid::INIT, signal).map_err(|error| fail(error.into()))
            }
            RunningInit::Other => {
                let program = if mode == ShutdownMode::Poweroff {
                    "/sbin/poweroff"
                } else {
                    "/sbin/reboot"
                };
                let mut command = std::process::Command::new(program);
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                let status = command.status().map_err(fail)?;
                if status.success() {
                    Ok(())
                } else {
                    Err(fail(io::Error::other(format!("{program}: {status}"))))
                }
            }
        }
    }
}

/// Which init an image has.
fn image_init() -> RunningInit {
    let Ok(real) = std::fs::canonicalize(INIT) else {
        return RunningInit::Agent;
    };
    let name: PathBuf = real.file_name().map(PathBuf::from).unwrap_or_default();
    if name == Path::new("systemd") {
        RunningInit::Systemd
    } else {
        RunningInit::Other
    }
}
