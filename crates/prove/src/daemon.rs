//! One life of a daemon on a simulated machine: the real control plane over it. Its requests are in
//! [`crate::requests`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use banger_api::OperationId;
use banger_api::vm::Accepted;
use banger_api::{ApiError, ErrorCode};
use banger_control::template::Wanted;
use banger_control::{Control, Parents, Parts, Places, Queues, Spawn, VmDefaults};
use banger_ops::{HostResult, Recovered, Runner, policy};
use banger_store::{Connection, StoreError, VmRecord, vm};

use crate::acting::SimHost;
use crate::environment::SimEnvironment;
use crate::machine::Machine;
use crate::tamper::Tamper;
use crate::turns::{SimSpawn, WatchedQueues};

/// One life of the daemon.
pub(crate) struct Daemon {
    pub(crate) machine: Arc<Machine>,
    pub(crate) control: Control,
    spawn: Arc<dyn Spawn>,
    tamper: &'static dyn Tamper,
    cancelling: Arc<AtomicBool>,
    recovered: AtomicBool,
    /// It takes no request any more.
    closed: AtomicBool,
    /// Templates that starts would have used.
    pub(crate) wanted: Arc<Mutex<Vec<Wanted>>>,
    /// Requests that it has taken and not answered.
    taken: AtomicUsize,
}

/// Directories of the simulated machine.
#[allow(clippy::expect_used)] // these are absolute
pub(crate) fn places() -> Places {
    Places::new(Parents {
        vms: PathBuf::from("/s/vms"),
        run_vms: PathBuf::from(crate::machine::RUN),
        images: PathBuf::from("/s/images"),
        kernels: PathBuf::from("/s/kernels"),
        layers: PathBuf::from(crate::layout::LAYERS),
        templates: PathBuf::from(crate::layout::TEMPLATES),
        staging: PathBuf::from("/s/staging"),
    })
    .expect("absolute places")
}

impl Daemon {
    /// Starts a daemon; the machine accepts calls again.
    pub(crate) fn start(
        machine: &Arc<Machine>,
        tamper: &'static dyn Tamper,
    ) -> Result<Self, StoreError> {
        machine.open_store()?;
        let daemon = {
            let mut world = machine.world();
            world.syncs = tamper.syncs();
            world.daemon += 1;
            world.daemon
        };
        let host = SimHost {
            machine: Arc::clone(machine),
            daemon,
        };
        let cancelling = Arc::new(AtomicBool::new(false));
        let wanted = Arc::new(Mutex::default());
        let spawn: Arc<dyn Spawn> = Arc::new(SimSpawn {
            machine: Arc::clone(machine),
        });
        let control = Control::new(Parts {
            places: places(),
            defaults: VmDefaults::default(),
            runner: Runner::new(Arc::clone(machine.store()?), tamper.host(host)),
            environment: Arc::new(SimEnvironment {
                machine: Arc::clone(machine),
                tamper,
                cancelling: Arc::clone(&cancelling),
                wanted: Arc::clone(&wanted),
            }),
            locks: tamper.locks(Arc::new(WatchedQueues {
                machine: Arc::clone(machine),
                queues: Queues::default(),
            })),
            spawn: Arc::clone(&spawn),
        });
        Ok(Self {
            machine: Arc::clone(machine),
            control,
            spawn,
            tamper,
            cancelling,
            wanted,
            recovered: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
        })
    }

    /// Takes a request, unless the next daemon is to come.
    pub(crate) fn take(&self, request: impl FnOnce() -> HostResult<()>) -> HostResult<()> {
        if self.closed.load(Ordering::Relaxed) {
            let message = "a newer daemon is about to begin";
            return Err(ApiError::new(ErrorCode::ShuttingDown, message));
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        let answer = request();
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.spawn.wake();
        answer
    }

    /// Gives the machine to the next daemon, which recovers: when nothing is under way here any more.
    pub(crate) fn hand_over(&self) -> HostResult<Recovered> {
        if self.closed.swap(true, Ordering::Relaxed) {
            return Ok(Recovered::default());
        }
        if self.tamper.waits_for_the_older_daemon() {
            self.spawn.wait(&mut || {
                self.taken.load(Ordering::Relaxed) == 0
                    && self.control.operations().all_running().is_empty()
            });
        }
        Self::start(&self.machine, self.tamper)
            .map_err(banger_ops::store_error)?
            .recover()
    }

    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> HostResult<T> {
        self.control.read(query)
    }

    /// Recovers, and returns the failures, VMs that were not started again included.
    pub(crate) fn recover(&self) -> HostResult<Recovered> {
        self.recovered.store(true, Ordering::Relaxed);
        let mut recovered = self.tamper.recover(&self.control)?;
        for vm in self
            .read(vm::list)?
            .iter()
            .filter(|vm| policy::starts_again(vm))
        {
            recovered
                .failed
                .push(format!("VM {} does not come back", vm.name));
        }
        Ok(recovered)
    }

    /// Tells whether this life began with a recovery: then no operation of an earlier life is left.
    pub(crate) fn has_recovered(&self) -> bool {
        self.recovered.load(Ordering::Relaxed)
    }

    /// Waits for the end of an operation, and returns its result.
    pub(crate) fn ended(&self, id: OperationId) -> HostResult<()> {
        let lost = || ApiError::new(ErrorCode::Internal, "the operation never ended");
        let running = self.control.operations().find(id).ok_or_else(lost)?;
        self.spawn.wait(&mut || running.outcome().is_some());
        let (_state, error, _at) = running.outcome().ok_or_else(lost)?;
        error.map_or(Ok(()), Err)
    }

    /// The same for the answer of a request.
    pub(crate) fn done(&self, accepted: HostResult<Accepted>) -> HostResult<()> {
        self.ended(accepted?.operation)
    }

    /// Waits for an effect of an operation.
    pub(crate) fn wait(&self, ready: &mut dyn FnMut() -> bool) {
        self.spawn.wait(ready);
    }

    /// Cancels all running operations.
    pub(crate) fn cancel_all(&self) {
        for running in self.control.operations().all_running() {
            running.cancel();
        }
    }

    /// Sets whether operations that are requested from now on are cancelled before their first plan.
    pub(crate) fn cancel_what_comes(&self, cancel: bool) {
        self.cancelling.store(cancel, Ordering::Relaxed);
    }

    /// Every VM.
    pub(crate) fn vms(&self) -> HostResult<Vec<VmRecord>> {
        self.read(vm::list)
    }
}
