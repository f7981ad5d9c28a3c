//! A model of the daemon: what it locks, journals and recovers, over the real runner, recovery and store. What is asked of it
//! stands in [`crate::living`] and [`crate::making`].

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use banger_api::{ApiError, ErrorCode, OperationId, VmId};
use banger_ops::{
    Cancel, Events, Host, HostResult, NoEvents, Plan, Recovered, Recovery, Runner, plans, policy,
    store_error,
};
use banger_store::{Connection, OperationRecord, Store, StoreError, VmRecord, operation, vm};

use crate::host::SimHost;
use crate::layout;
use crate::living::BOOT_MS;
use crate::machine::Machine;
use crate::tamper::Tamper;

/// The longest that a VM's lock may be held, ms: a guest that does not come up to its deadline, and what undoes its start.
const LOCK_MS: u64 = BOOT_MS + 60_000;

/// One incarnation of the daemon.
pub(crate) struct Control<'a> {
    pub(crate) machine: Arc<Machine>,
    tamper: &'a dyn Tamper,
    pub(crate) runner: Runner,
    /// Fires for the requests that run now and can be cancelled.
    cancel: Mutex<Cancel>,
    recovered: AtomicBool,
}

pub(crate) fn not_found(name: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no \"{name}\""))
}

impl<'a> Control<'a> {
    /// A daemon that has just been started; the machine takes its calls again.
    pub(crate) fn start_daemon(
        machine: &Arc<Machine>,
        tamper: &'a dyn Tamper,
    ) -> Result<Self, StoreError> {
        machine.open_store()?;
        let host = SimHost {
            machine: Arc::clone(machine),
        };
        let runner = Runner::new(Arc::clone(machine.store()?), tamper.host(host));
        Ok(Self {
            machine: Arc::clone(machine),
            tamper,
            runner,
            cancel: Mutex::new(Cancel::new()),
            recovered: AtomicBool::new(false),
        })
    }

    pub(crate) fn host(&self) -> &dyn Host {
        &**self.runner.host()
    }

    pub(crate) fn store(&self) -> &Store {
        self.runner.store()
    }

    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> HostResult<T> {
        self.store().read(query).map_err(store_error)
    }

    pub(crate) fn recover(&self) -> HostResult<Recovered> {
        self.recovered.store(true, Ordering::Relaxed);
        let mut recovered = Recovery::new(&self.runner).run()?;
        for (made_by, id) in recovered.half_made.clone() {
            if let Err(error) = self.forget_half_made(made_by, id) {
                recovered.failed.push(error.message);
            }
        }
        for vm in self
            .read(vm::list)?
            .iter()
            .filter(|vm| policy::starts_again(vm))
        {
            if let Err(error) = self.start(vm.name.as_str()) {
                recovered.failed.push(format!(
                    "VM {} does not come back: {}",
                    vm.name, error.message
                ));
            }
        }
        Ok(recovered)
    }

    /// Deletes a VM whose making was cut off before anybody heard of success. It is not doomed in the ledger: one whose
    /// making was answered with success must not go this way.
    fn forget_half_made(&self, made_by: OperationId, id: VmId) -> HostResult<()> {
        self.runner.settle(id)?;
        if let Some(record) = self.read(|db| vm::by_id(db, id))? {
            self.run(plans::delete(made_by, &record, &layout::files(id)))?;
        }
        let (now, error) = (self.host().now_ms(), "interrupted");
        self.store()
            .write(move |tx| operation::finish_operation(tx, made_by, "failed", now, Some(error)))
            .map_err(store_error)
    }

    /// Whether this incarnation began with a recovery: then no operation is left from before.
    pub(crate) fn has_recovered(&self) -> bool {
        self.recovered.load(Ordering::Relaxed)
    }

    /// An operation around `body`, as the daemon writes it down.
    pub(crate) fn operation<T>(
        &self,
        kind: &str,
        vm: Option<(VmId, &str)>,
        body: impl FnOnce(OperationId) -> HostResult<T>,
    ) -> HostResult<T> {
        let id = OperationId::new();
        let record = OperationRecord {
            id,
            kind: kind.to_owned(),
            vm: vm.map(|(id, _)| id),
            vm_name: vm.map(|(_, name)| name.to_owned()),
            state: "running".to_owned(),
            started_ms: self.host().now_ms(),
            finished_ms: None,
            error: None,
        };
        self.store()
            .write(move |tx| operation::insert_operation(tx, &record))
            .map_err(store_error)?;
        let result = body(id);
        let state = if result.is_ok() { "done" } else { "failed" };
        let (now, error) = (
            self.host().now_ms(),
            result.as_ref().err().map(|error| error.message.clone()),
        );
        // Whoever asked may hear of success only when that is written: a recovery takes away what was being made.
        let written = self
            .store()
            .write(move |tx| operation::finish_operation(tx, id, state, now, error.as_deref()));
        result.and_then(|value| written.map(|()| value).map_err(store_error))
    }

    pub(crate) fn run(&self, mut plan: Plan) -> HostResult<()> {
        self.tamper.plan(&mut plan);
        let cancel = self.cancel();
        self.runner.run(&plan, &NoEvents as &dyn Events, &cancel)
    }

    /// Runs `body` with the VM's lock and its record as it is then.
    pub(crate) fn with_vm<T>(
        &self,
        name: &str,
        body: impl FnOnce(VmRecord) -> HostResult<T>,
    ) -> HostResult<T> {
        let id = self
            .read(|db| vm::by_name(db, name))?
            .ok_or_else(|| not_found(name))?
            .id;
        self.locked(id, || {
            self.runner.settle(id)?;
            let record = self
                .read(|db| vm::by_id(db, id))?
                .ok_or_else(|| not_found(name))?;
            body(record)
        })
    }

    pub(crate) fn locked<T>(&self, id: VmId, body: impl FnOnce() -> T) -> T {
        let schedule = self.machine.schedule();
        if let Some(schedule) = &schedule {
            schedule.lock(id.0);
        }
        let began = self.machine.world().clock_us;
        let result = body();
        match &schedule {
            Some(schedule) => schedule.unlock(id.0),
            // Beside other tasks the clock is theirs, too.
            None => {
                let mut world = self.machine.world();
                let held_ms = (world.clock_us - began) / 1_000;
                if held_ms > LOCK_MS {
                    world.broke(format!("a VM's lock is held for {held_ms} ms"));
                }
            }
        }
        result
    }

    pub(crate) fn cancel(&self) -> Cancel {
        let cancel = self.cancel.lock().unwrap_or_else(PoisonError::into_inner);
        cancel.clone()
    }

    /// What begins from here on is not cancelled.
    pub(crate) fn uncancel(&self) {
        *self.cancel.lock().unwrap_or_else(PoisonError::into_inner) = Cancel::new();
    }

    /// Every VM.
    pub(crate) fn vms(&self) -> HostResult<Vec<VmRecord>> {
        self.read(vm::list)
    }
}

pub(crate) fn staging(op: OperationId) -> std::path::PathBuf {
    Path::new("/s/staging").join(op.to_string())
}
