//! The control plane that all requests share.

use std::sync::Arc;

use banger_api::{ApiError, VmId};
use banger_ops::{NoEvents, Places, Plan, PlanKind, Runner, store_error};
use banger_store::{Connection, Store, StoreError};

use crate::environment::{Environment, VmDefaults};
use crate::locks::Locks;
use crate::operations::{Operations, Running};
use crate::spawn::Spawn;
use crate::vm::Runs;

/// The parts of a control plane.
pub struct Parts {
    /// Directories of VMs, images and kernels.
    pub places: Places,
    /// Defaults of VMs that the user has configured.
    pub defaults: VmDefaults,
    /// Applies plans, over the store and the host.
    pub runner: Runner,
    /// The surroundings: host, engine, registries, files of images.
    pub environment: Arc<dyn Environment>,
    /// Locks of VMs, images and kernels.
    pub locks: Arc<dyn Locks>,
    /// Runs the work of operations.
    pub spawn: Arc<dyn Spawn>,
}

/// A control plane. Cheap to clone.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    places: Places,
    defaults: VmDefaults,
    runner: Runner,
    environment: Arc<dyn Environment>,
    operations: Operations,
    runs: Runs,
}

impl Control {
    /// A control plane. [`crate::recover`] comes before any request.
    pub fn new(parts: Parts) -> Self {
        let operations = Operations::new(parts.runner.clone(), parts.locks, parts.spawn);
        Self(Arc::new(Inner {
            places: parts.places,
            defaults: parts.defaults,
            runner: parts.runner,
            environment: parts.environment,
            operations,
            runs: Runs::default(),
        }))
    }

    /// Directories of VMs, images and kernels.
    pub fn places(&self) -> &Places {
        &self.0.places
    }

    /// Defaults of VMs that the user has configured.
    pub fn defaults(&self) -> &VmDefaults {
        &self.0.defaults
    }

    /// Applies plans.
    pub fn runner(&self) -> &Runner {
        &self.0.runner
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.0.runner.store()
    }

    /// Operations that wait, run, or ended a short while ago.
    pub fn operations(&self) -> &Operations {
        &self.0.operations
    }

    /// Runs of ephemeral VMs.
    pub fn runs(&self) -> &Runs {
        &self.0.runs
    }

    /// The surroundings: host, engine, registries, files of images.
    pub(crate) fn environment(&self) -> &dyn Environment {
        &*self.0.environment
    }

    /// The current time, in ms since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.0.runner.host().now_ms()
    }

    /// Reads the store.
    ///
    /// # Errors
    /// The store's.
    pub fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, ApiError> {
        self.store().read(query).map_err(store_error)
    }

    /// Runs a plan of an operation. Blocks.
    pub(crate) fn run(&self, mut plan: Plan, op: &Running) -> Result<(), ApiError> {
        self.environment().planned(&mut plan, Some(op));
        let outcome = self.runner().run(&plan, op, op.cancelled());
        self.after(&plan);
        outcome
    }

    /// Runs a plan that nobody follows or cancels. Blocks.
    pub(crate) fn run_alone(&self, mut plan: Plan) -> Result<(), ApiError> {
        self.environment().planned(&mut plan, None);
        let never = banger_ops::Cancel::new();
        let outcome = self.runner().run(&plan, &NoEvents, &never);
        self.after(&plan);
        outcome
    }

    /// Tells the surroundings when a plan, whatever became of it, makes or removes VMs.
    fn after(&self, plan: &Plan) {
        if matches!(plan.kind, PlanKind::CreateVm | PlanKind::DeleteVm) {
            self.environment().vms_changed(self);
        }
    }

    /// Finishes an earlier plan of a VM that stopped half-way. The caller holds the VM's lock, and reads its record
    /// afterwards.
    pub(crate) fn settle(&self, vm: VmId) -> Result<(), ApiError> {
        self.runner().settle(vm)
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("places", &self.0.places)
            .finish_non_exhaustive()
    }
}
