//! State of the guest that all calls share, and the machine behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_guest::files::Looked;
use banger_guest::{
    ClockReading, ClockSet, Configure, Configured, Failure, GrowDisk, GuestPath, Phase, SetClock,
    ShutdownMode,
};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::failure::{blocking, failure};

/// Orders that a guest carries out on itself as a whole. A trait, so that the calls can be tested on any machine.
pub trait Machine: Send + Sync + 'static {
    /// Applies a configuration. Blocks.
    ///
    /// # Errors
    /// Names the part that failed and the check that found it.
    fn configure(&self, configure: &Configure) -> Result<Configured, Failure>;

    /// Lets go of disks and network, so that this machine can be saved; [`Machine::configure`] takes them again. Blocks. Only a
    /// guest's own are let go.
    ///
    /// # Errors
    /// A driver does not let go.
    fn hold(&self) -> Result<(), Failure> {
        Err(failure("devices", "let go", "this machine keeps its own"))
    }

    /// Addresses at which it listens for published ports: those listeners are no servers of the guest's.
    fn relay_addresses(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// Begins to shut down. Blocks until it has begun.
    ///
    /// # Errors
    /// When nothing can be told to do so.
    fn shut_down(&self, mode: ShutdownMode) -> Result<(), Failure>;

    /// Reads the clock.
    fn read_clock(&self) -> ClockReading {
        clock::read()
    }

    /// Brings the clock to the host's time. Only a guest's own clock is set: other machines, as those of tests, refuse.
    ///
    /// # Errors
    /// The kernel refuses.
    fn set_clock(&self, _to: SetClock) -> Result<ClockSet, Failure> {
        Err(failure("clock", "set", "this machine keeps its own clock"))
    }

    /// Grows the file system of a disk that has become larger. Blocks. Other machines than a guest have no such disk.
    ///
    /// # Errors
    /// Names the disk, and why it cannot be grown.
    fn grow_disk(&self, wanted: &GrowDisk) -> Result<(), Failure> {
        Err(failure(
            format!("disk {}", wanted.disk),
            "grow",
            "this machine has no disks of its own",
        ))
    }

    /// Root of the guest's programs and files; `/` but in tests.
    fn root(&self) -> PathBuf {
        PathBuf::from("/")
    }

    /// Directory of detached commands.
    fn detached_folder(&self) -> PathBuf {
        PathBuf::from("/run/banger/exec")
    }

    /// Parent of the control groups of commands; `None`: they get none.
    fn command_groups(&self) -> Option<PathBuf> {
        None
    }

    /// This program, for processes of its own.
    fn program(&self) -> PathBuf {
        PathBuf::from(crate::program::ITSELF)
    }
}

/// Defaults of commands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Defaults {
    /// Environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory.
    #[serde(default)]
    pub cwd: Option<GuestPath>,
    /// User.
    #[serde(default)]
    pub user: Option<String>,
    /// Words that the image always runs before its command.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// The image's own command.
    #[serde(default)]
    pub cmd: Vec<String>,
}

impl From<&Configure> for Defaults {
    fn from(configure: &Configure) -> Self {
        Self {
            env: configure.env.clone(),
            cwd: configure.cwd.clone(),
            user: configure.user.clone(),
            entrypoint: configure.entrypoint.clone(),
            cmd: configure.cmd.clone(),
        }
    }
}

/// The state that calls share.
pub struct Guest {
    machine: Arc<dyn Machine>,
    state: Mutex<State>,
    looked: Arc<Looked>,
}

struct State {
    phase: Phase,
    defaults: Defaults,
}

impl Guest {
    /// A guest in the given phase.
    #[must_use]
    pub fn new(machine: Arc<dyn Machine>, phase: Phase, defaults: Defaults) -> Arc<Self> {
        Arc::new(Self {
            machine,
            state: Mutex::new(State { phase, defaults }),
            looked: Arc::default(),
        })
    }

    /// Its phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Defaults of commands.
    #[must_use]
    pub fn defaults(&self) -> Defaults {
        self.state().defaults.clone()
    }

    /// The machine behind it.
    #[must_use]
    pub fn machine(&self) -> Arc<dyn Machine> {
        Arc::clone(&self.machine)
    }

    /// Files as a host saw them when it asked about them.
    #[must_use]
    pub fn looked(&self) -> Arc<Looked> {
        Arc::clone(&self.looked)
    }

    /// Applies a configuration, off the task that serves.
    ///
    /// # Errors
    /// As [`Machine::configure`], and when another configuration is being applied.
    pub async fn configure(&self, configure: Configure) -> Result<Configured, Failure> {
        {
            let mut state = self.state();
            if matches!(state.phase, Phase::Configuring | Phase::Stopping) {
                let why = "it is being configured or stopped";
                return Err(failure("guest", "is ready to be configured", why));
            }
            state.phase = Phase::Configuring;
        }
        let machine = self.machine();
        let defaults = Defaults::from(&configure);
        let result = blocking(move || machine.configure(&configure)).await;
        let mut state = self.state();
        match &result {
            Ok(_) => {
                state.defaults = defaults;
                state.phase = Phase::Running;
            }
            // Half assembled: nothing but another attempt, with its own errors, can tell what is left.
            Err(_) => state.phase = Phase::Waiting,
        }
        result
    }

    /// Lets go of disks and network, off the task that serves. From then on this guest only becomes what it is told to be.
    ///
    /// # Errors
    /// As [`Machine::hold`], and when the guest does not wait for its configuration.
    pub async fn hold(&self) -> Result<(), Failure> {
        {
            let mut state = self.state();
            if !matches!(state.phase, Phase::Waiting | Phase::Held) {
                let cause = "only one that waits for its configuration can be held";
                return Err(failure("guest", "is waiting", cause));
            }
            // Whatever becomes of it: nothing but a configuration may follow.
            state.phase = Phase::Held;
        }
        let machine = self.machine();
        blocking(move || machine.hold()).await
    }

    /// Begins to shut down.
    ///
    /// # Errors
    /// As [`Machine::shut_down`].
    pub async fn shut_down(&self, mode: ShutdownMode) -> Result<(), Failure> {
        let machine = self.machine();
        let result = blocking(move || machine.shut_down(mode)).await;
        if result.is_ok() {
            self.state().phase = Phase::Stopping;
        }
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain data, whole at every moment: a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
