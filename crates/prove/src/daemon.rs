//! One incarnation of a daemon on a simulated machine: the real control plane over it. What is asked of it stands in
//! [`crate::requests`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use banger_api::OperationId;
use banger_api::vm::Accepted;
use banger_api::{ApiError, ErrorCode};
use banger_control::{Control, Parts, Places, Queues, Spawn, VmDefaults};
use banger_ops::{HostResult, Recovered, Runner, policy};
use banger_store::{Connection, StoreError, VmRecord, vm};

use crate::environment::SimEnvironment;
use crate::host::SimHost;
use crate::machine::Machine;
use crate::tamper::Tamper;
use crate::turns::{SimSpawn, WatchedQueues};

/// One incarnation of the daemon.
pub(crate) struct Daemon {
    pub(crate) machine: Arc<Machine>,
    pub(crate) control: Control,
    spawn: Arc<dyn Spawn>,
    cancelling: Arc<AtomicBool>,
    recovered: AtomicBool,
}

/// Where the simulated machine keeps things.
pub(crate) fn places() -> Places {
    Places {
        vms: PathBuf::from("/s/vms"),
        run_vms: PathBuf::from(crate::machine::RUN),
        images: PathBuf::from("/s/images"),
        kernels: PathBuf::from("/s/kernels"),
        staging: PathBuf::from("/s/staging"),
    }
}

impl Daemon {
    /// A daemon that has just been started; the machine takes its calls again.
    pub(crate) fn start(
        machine: &Arc<Machine>,
        tamper: &'static dyn Tamper,
    ) -> Result<Self, StoreError> {
        machine.open_store()?;
        machine.world().syncs = tamper.syncs();
        let host = SimHost {
            machine: Arc::clone(machine),
        };
        let cancelling = Arc::new(AtomicBool::new(false));
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
            cancelling,
            recovered: AtomicBool::new(false),
        })
    }

    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> HostResult<T> {
        self.control.read(query)
    }

    /// Recovers, and tells what could not be put in order or was not started again.
    pub(crate) fn recover(&self) -> HostResult<Recovered> {
        self.recovered.store(true, Ordering::Relaxed);
        let mut recovered = banger_control::recover(&self.control)?;
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

    /// Whether this incarnation began with a recovery: then no operation is left from before.
    pub(crate) fn has_recovered(&self) -> bool {
        self.recovered.load(Ordering::Relaxed)
    }

    /// Waits for the end of an operation, and tells how it ended.
    pub(crate) fn ended(&self, id: OperationId) -> HostResult<()> {
        let lost = || ApiError::new(ErrorCode::Internal, "the operation never ended");
        let running = self.control.operations().find(id).ok_or_else(lost)?;
        self.spawn.wait(&mut || running.outcome().is_some());
        let (_state, error, _at) = running.outcome().ok_or_else(lost)?;
        error.map_or(Ok(()), Err)
    }

    /// The same for what a request has answered.
    pub(crate) fn done(&self, accepted: HostResult<Accepted>) -> HostResult<()> {
        self.ended(accepted?.operation)
    }

    /// Waits for something that an operation brings.
    pub(crate) fn wait(&self, ready: &mut dyn FnMut() -> bool) {
        self.spawn.wait(ready);
    }

    /// Cancels all that runs now.
    pub(crate) fn cancel_all(&self) {
        for running in self.control.operations().all_running() {
            running.cancel();
        }
    }

    /// Whoever asks from here on changes their mind before the first plan of what they have asked for.
    pub(crate) fn cancel_what_comes(&self, cancel: bool) {
        self.cancelling.store(cancel, Ordering::Relaxed);
    }

    /// Every VM.
    pub(crate) fn vms(&self) -> HostResult<Vec<VmRecord>> {
        self.read(vm::list)
    }
}
