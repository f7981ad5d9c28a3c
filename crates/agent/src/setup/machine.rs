//! The guest as a whole: applies a configuration from first to last, and shuts down.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use banger_guest::{
    ClockSet, Configure, Configured, Door, Failure, GrowDisk, InitMode, Relay, RunningInit,
    SetClock, ShutdownMode,
};
use rustix::process::chroot;

use super::root::{
    NEW_ROOT, SYSTEM_MOUNT, assemble, bind_container_storage, empty_old_root, runs_containers,
};
use super::stages::Stages;
use super::state::{self, State};
use super::written::Written;
use super::{
    agent_unit, authorities, farewell, files, generation, grow, hold, identity, kernel_limits,
    kernel_modules, mounts, net, own_kernel, power, rows, shown_ids, systemd, temporary,
};
use crate::cgroup;
use crate::clock;
use crate::console::say;
use crate::control::{self, Order};
use crate::failure::failure;
use crate::guest_state::{Defaults, Machine};
use crate::keeper;
use crate::memory;
use crate::relay::{Entrance, Relays};
use crate::report::stats::{boot_id, kernel_release};

/// In the guest's root.
const INIT: &str = "sbin/init";
/// Time for systemd to answer: seconds under emulation on a busy host.
const SYSTEMD_WITHIN: Duration = Duration::from_secs(20);
/// Between the answer to the host and what can wait.
const SETTLE_AFTER: Duration = Duration::from_secs(1);

/// The machine that this runs on.
pub struct GuestMachine {
    /// To PID 1, while that is ours.
    control: Option<UnixStream>,
    boot: Mutex<Boot>,
    relays: Mutex<Option<Relays>>,
}

/// Rest of the boot, for the first configuration.
struct Boot {
    stages: Stages,
    /// Still loading modules.
    modules: Option<JoinHandle<()>>,
    /// Disks and network were let go.
    held: bool,
    /// A configuration began to build the root. What it left behind when it failed fits no second attempt.
    begun: bool,
}

impl Boot {
    /// Waits for the modules that are still being loaded.
    fn load_modules(&mut self) {
        if let Some(modules) = self.modules.take() {
            // A panic in there has been told on the console; what is missing will be told by who misses it.
            let _ = modules.join();
            self.stages.done("wait for modules");
        }
    }
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
                held: false,
                begun: false,
            }),
            relays: Mutex::default(),
        }
    }

    /// Passes on what comes to these published ports and through the door, and no others any more.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn relay(&self, relays: &[Relay], door: Option<Door>) -> io::Result<()> {
        let mut now = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        // Those before leave their ports first.
        drop(now.take());
        let entrances = relays.iter().copied().map(Entrance::from);
        let entrances: Vec<Entrance> = entrances.chain(door.map(Entrance::from)).collect();
        if !entrances.is_empty() {
            *now = Some(Relays::start(entrances)?);
        }
        Ok(())
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
    ) -> Result<(RunningInit, File), Failure> {
        assemble(&configure.root, configure.tmp, stages)?;
        let old_root = self
            .enter()
            .map_err(|error| failure("root", "enter", error))?;
        stages.done("enter root");
        net::apply_loopback()?;
        configure.mounts.iter().try_for_each(mounts::mount_extra)?;
        let init = match configure.init {
            InitMode::Agent => RunningInit::Agent,
            InitMode::Auto => image_init(Path::new("/")),
        };
        Ok((init, old_root))
    }

    /// PID 1 enters the new root, and this process after it. Gives what was the root before.
    fn enter(&self) -> io::Result<File> {
        let old_root = File::open("/")?;
        std::env::set_current_dir(NEW_ROOT)?;
        self.order(&Order::Enter(NEW_ROOT.into()))?;
        // The directory that this process is in is the root of all now.
        chroot(".")?;
        std::env::set_current_dir("/")?;
        Ok(old_root)
    }

    fn start_init(&self, init: RunningInit) -> Result<(), Failure> {
        let order = match init {
            RunningInit::Agent => Order::Stay,
            RunningInit::Systemd | RunningInit::Other => Order::Become(Path::new("/").join(INIT)),
        };
        self.order(&order)
            .map_err(|error| failure("init", format!("{order:?}"), error))?;
        if init == RunningInit::Systemd {
            let reachable = systemd::wait_until_reachable(SYSTEMD_WITHIN)
                .map_err(|error| failure("init", "wait for systemd", error))?;
            if !reachable {
                say("systemd does not answer yet; the guest is ready without it");
            }
        }
        Ok(())
    }
}

impl Machine for GuestMachine {
    fn configure(&self, configure: &Configure) -> Result<Configured, Failure> {
        // First of all: the host's word for the time grows old while disks are mounted.
        clock::set_first(configure.clock_unix_ns)?;
        identity::renew_randomness(configure)?;
        let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        let woke = boot.held;
        if woke {
            // Those before are of another machine.
            boot.stages.restart();
            hold::take_again().map_err(|error| failure("devices", "take again", error))?;
            boot.held = false;
            boot.stages.done("take devices");
        } else {
            boot.stages.done("wait for host");
            boot.load_modules();
        }
        let known = state::load();
        let (init, old_root) = match &known {
            // A restored or forked guest: its root and its init are there.
            Some(state) => (state.init, None),
            None if boot.begun => {
                let cause = "an earlier configuration failed half-way; start the guest again";
                return Err(failure("guest", "is fresh", cause));
            }
            None => {
                boot.begun = true;
                let (init, old_root) = self.build_root(configure, &mut boot.stages)?;
                if let Some(booted) = &configure.own_kernel {
                    // Before anything of the guest's runs, or is written: it is not to run with this kernel.
                    own_kernel::check(Path::new("/"), booted)?;
                    boot.stages.done("own kernel");
                }
                (init, Some(old_root))
            }
        };
        let stages = &mut boot.stages;
        let root = Path::new("/");
        if woke {
            shown_ids::renew(&configure.machine_uuid)
                .map_err(|error| failure("shown ids", "renew", error))?;
        }
        generation::write(configure).map_err(|error| failure("generation", "write", error))?;
        identity::apply(configure, root)?;
        let written = Written::of_this_guest();
        configure
            .files
            .iter()
            .try_for_each(|file| files::apply(root, &written, file))?;
        stages.done("identity and files");
        if let Some(line) = &configure.kernel_line {
            own_kernel::tell_packages(root, line);
        }
        authorities::apply(root, configure.authorities.as_ref());
        if configure.authorities.is_some() {
            stages.done("authorities");
        }
        if let Some(wanted) = &configure.net {
            net::apply(wanted)?;
            stages.done("network");
        }
        let defaults = Defaults::from(configure);
        if let Some(old_root) = old_root {
            // A guest that is to run nothing of the image's is about to be read: it does not change under the reader.
            let containers = init != RunningInit::Agent
                || configure.init == InitMode::Agent
                || runs_containers();
            if containers {
                bind_container_storage()?;
            }
            kernel_limits::set(Path::new("/proc/sys"));
            keeper::serve_alone().map_err(|error| failure("agent", "serve alone", error))?;
            if let Err(error) = cgroup::found() {
                say(format_args!("no control groups for commands: {error}"));
            }
            match init {
                RunningInit::Systemd => {
                    temporary::tell_systemd(root, configure.tmp)?;
                    kernel_modules::tell_systemd(root)?;
                    agent_unit::install(root)?;
                    power::tell_systemd(root)?;
                }
                RunningInit::Other => temporary::tell_others(root),
                RunningInit::Agent if configure.init == InitMode::Agent => power::withdraw(root)
                    .and_then(|()| own_kernel::withdraw(root))
                    .map_err(|error| failure("commands of ours", "remove", error))?,
                RunningInit::Agent => power::offer(root),
            }
            self.start_init(init)?;
            settle(!containers, old_root);
            stages.done("start init");
        }
        self.relay(&configure.relays, configure.door)
            .map_err(|error| failure("published ports", "start a thread", error))?;
        let relays = configure.relays.clone();
        state::save(&State {
            init,
            defaults,
            relays,
            door: configure.door,
        })
        .map_err(|error| failure("agent", "remember its state", error))?;
        Ok(Configured {
            init,
            stages: stages.list(),
            boot_id: boot_id(),
            kernel: kernel_release(),
            rows: rows::of_this_guest(configure, woke)?,
        })
    }

    fn hold(&self) -> Result<(), Failure> {
        let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        boot.load_modules();
        hold::let_go().map_err(|error| failure("devices", "let go", error))?;
        boot.held = true;
        Ok(())
    }

    fn set_clock(&self, to: SetClock) -> Result<ClockSet, Failure> {
        clock::set(to)
    }

    fn grow_disk(&self, wanted: &GrowDisk) -> Result<(), Failure> {
        grow::grow_mounted(wanted)
    }

    fn command_groups(&self) -> Option<PathBuf> {
        cgroup::of_commands()
    }

    fn relay_addresses(&self) -> Vec<SocketAddr> {
        let relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        relays.as_ref().map(Relays::addresses).unwrap_or_default()
    }

    fn shut_down(&self, mode: ShutdownMode) -> Result<(), Failure> {
        let fail = |error: io::Error| failure("init", format!("{mode:?}").to_lowercase(), error);
        match state::load().map_or(RunningInit::Agent, |state| state.init) {
            RunningInit::Agent => self.order(&Order::ShutDown(mode)).map_err(fail),
            RunningInit::Systemd | RunningInit::Other => farewell::tell_init(mode).map_err(fail),
        }
    }
}

/// Work that can wait until the first command is through: storage for containers that nothing can use yet, freeing the
/// memory of the initramfs, and the driver that gives memory back. A lower priority would not do instead: the kernel is not preempted in the middle of a call.
fn settle(containers: bool, old_root: File) {
    let settling = move || {
        if containers && let Err(error) = bind_container_storage() {
            say(error);
        }
        temporary::discard(Path::new(SYSTEM_MOUNT));
        empty_old_root(&old_root);
        memory::load_driver();
    };
    tokio::spawn(async move {
        tokio::time::sleep(SETTLE_AFTER).await;
        // A panic in there has been told on the console.
        let _ = tokio::task::spawn_blocking(settling).await;
    });
}

/// The init of the root at `root`. Alpine's images for containers have an `/sbin/init` that is busybox's and starts
/// nothing: it counts only with something to start, OpenRC or the script that busybox's init runs by default.
fn image_init(root: &Path) -> RunningInit {
    let Ok(real) = std::fs::canonicalize(root.join(INIT)) else {
        return RunningInit::Agent;
    };
    let exists = |path: &str| std::fs::symlink_metadata(root.join(path)).is_ok();
    match real.file_name().and_then(OsStr::to_str) {
        Some("systemd") => RunningInit::Systemd,
        Some("busybox") if !exists("sbin/openrc") && !exists("etc/init.d/rcS") => {
            RunningInit::Agent
        }
        _ => RunningInit::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_init_counts_when_it_starts_something() {
        let root = tempfile::tempdir().unwrap();
        let init = || image_init(root.path());
        let put = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        assert_eq!(init(), RunningInit::Agent);
        put("bin/busybox");
        put("sbin/other");
        symlink("../bin/busybox", root.path().join(INIT)).unwrap();
        assert_eq!(init(), RunningInit::Agent, "busybox with nothing to start");
        put("sbin/openrc");
        assert_eq!(init(), RunningInit::Other);
        std::fs::remove_file(root.path().join("sbin/openrc")).unwrap();
        put("etc/init.d/rcS");
        assert_eq!(init(), RunningInit::Other);
        put("lib/systemd/systemd");
        std::fs::remove_file(root.path().join(INIT)).unwrap();
        symlink("../lib/systemd/systemd", root.path().join(INIT)).unwrap();
        assert_eq!(init(), RunningInit::Systemd);
    }
}
