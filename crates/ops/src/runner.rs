//! The runner: applies a plan step by step and journals each transition.
//!
//! ```text
//! begin ─► applying 0 ─► applied 0 │ applying 1 ─► … ─► applied n │ finished
//!              │ fails                  ▲ one transaction for both sides of each bar
//!              ▼
//!          reverting … ─► finished, with what became of the VM
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use banger_api::operation::{EventKind, StepState};
use banger_api::vm::VmState;
use banger_api::{ApiError, ErrorCode, OperationId, VmId};
use banger_store::{
    Connection, Durability, JournalStep, PlanRecord, Store, StoreError, claim, operation, vm,
};

use crate::store_error::store_error;
use crate::{
    Cancel, Change, Direction, Events, Host, HostResult, NoEvents, OwnDir, Plan, PlanKind, Step,
    StepCx, plans,
};

/// Applies plans. Who runs two plans of one VM at once is the caller's lock's business.
#[derive(Clone)]
pub struct Runner {
    store: Arc<Store>,
    host: Arc<dyn Host>,
    /// Plans that this process gave up half-way: unfinished in the store, and tried again before anything else happens
    /// to their VM.
    given_up: Arc<Mutex<Vec<Plan>>>,
    /// Plans that must happen and that the store refused to begin: begun with the next change of files.
    to_begin: Arc<Mutex<Vec<Plan>>>,
    /// VMs with an unfinished plan that cannot be read, and why: they may be ended and deleted, and nothing else.
    unreadable: Arc<Mutex<HashMap<VmId, String>>>,
    /// Durability of the end of a plan: nobody waits for that of a recovery.
    ends: Durability,
}

impl Runner {
    /// A runner over this store and host.
    pub fn new(store: Arc<Store>, host: Arc<dyn Host>) -> Self {
        Self {
            store,
            host,
            given_up: Arc::default(),
            to_begin: Arc::default(),
            unreadable: Arc::default(),
            ends: Durability::Now,
        }
    }

    /// The same runner for a recovery: a power cut may take back what it wrote, and the next recovery does it again.
    pub(crate) fn for_recovery(&self) -> Self {
        Self {
            ends: Durability::Soon,
            ..self.clone()
        }
    }

    /// Durability of a transition behind which step `n` comes. A claim must be on the disk before what it claims is
    /// made, and an end before anybody hears of it. Everything else may be repeated: a power cut may take it back.
    fn durability(&self, plan: &Plan, n: usize) -> Durability {
        match plan.steps.get(n) {
            None => self.ends,
            Some(step) if !step.body().claims().is_empty() => Durability::Now,
            Some(_) => Durability::Soon,
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The host.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// Runs `plan` to its end. Blocks.
    ///
    /// # Errors
    /// The error of the step that failed. A `Back` plan has been undone then; what could not be undone is still
    /// claimed, its plan stays unfinished, and [`Runner::settle`] and recovery try again. A plan whose beginning the
    /// store refuses (a taken name, a claimed resource, a VM that is gone) has had no effect at all.
    pub fn run(&self, plan: &Plan, events: &dyn Events, cancel: &Cancel) -> HostResult<()> {
        match plan.vm {
            Some(vm) => {
                if plan.direction == Direction::Back {
                    self.check_readable(vm)?;
                }
                self.settle(vm)?;
            }
            None => self.settle_files(),
        }
        self.begin(plan)?;
        self.carry_on(plan, 0, events, cancel)
    }

    /// Refuses what must not happen to a VM while an unfinished plan of it cannot be read: to start it, to read its
    /// disks.
    ///
    /// # Errors
    /// `wrong_state`, with the plan and the reason.
    pub fn check_readable(&self, vm: VmId) -> HostResult<()> {
        let unreadable = self
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match unreadable.get(&vm) {
            None => Ok(()),
            Some(why) => {
                let message = format!("what was begun with this VM is not known: {why}");
                Err(ApiError::new(ErrorCode::WrongState, message)
                    .hint("use the banger that wrote it, or delete the VM"))
            }
        }
    }

    /// Remembers that an unfinished plan of this VM cannot be read.
    pub(crate) fn note_unreadable(&self, vm: VmId, why: String) {
        let mut unreadable = self
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unreadable.insert(vm, why);
    }

    /// Tells whether an unfinished plan of this VM cannot be read.
    pub(crate) fn is_unreadable(&self, vm: VmId) -> bool {
        let unreadable = self
            .unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unreadable.contains_key(&vm)
    }

    /// Ends what an earlier plan of this VM left half-way: undoes it, or carries it on. Callers do this under the VM's
    /// lock *before* they read its record, for it changes the record. Costs nothing when there is nothing.
    ///
    /// # Errors
    /// Those of what still resists.
    pub fn settle(&self, vm: VmId) -> HostResult<()> {
        self.settle_those(|plan| plan.vm == Some(vm))
    }

    /// The same for plans of images and kernels. What resists is logged: it concerns nobody who asks for something
    /// else.
    pub fn settle_files(&self) {
        let mut to_begin = self.to_begin.lock().unwrap_or_else(PoisonError::into_inner);
        let plans = std::mem::take(&mut *to_begin);
        drop(to_begin);
        for plan in plans {
            self.begin_and_run(plan, &NoEvents);
        }
        if let Err(error) = self.settle_those(|plan| plan.vm.is_none()) {
            tracing::warn!(%error, "files that could not be put in order still resist");
        }
    }

    /// Removes what an operation has made and nobody will use. It happens in any case: what fails is tried again with
    /// the next change of files, and by recovery.
    pub fn discard(&self, op: OperationId, path: OwnDir, events: &dyn Events) {
        self.settle_files();
        self.begin_and_run(plans::discard(op, path), events);
    }

    fn begin_and_run(&self, plan: Plan, events: &dyn Events) {
        let result = match self.begin(&plan) {
            Ok(()) => self.carry_on(&plan, 0, events, &Cancel::new()),
            Err(error) => {
                let mut to_begin = self.to_begin.lock().unwrap_or_else(PoisonError::into_inner);
                to_begin.push(plan);
                Err(error)
            }
        };
        if let Err(error) = result {
            tracing::warn!(%error, "what nobody needs cannot be removed yet");
        }
    }

    fn settle_those(&self, those: impl Fn(&Plan) -> bool) -> HostResult<()> {
        let mut outcome = Ok(());
        for plan in self.take_given_up(those).iter().rev() {
            if let Err(error) = self.resume(plan) {
                outcome = Err(error);
            }
        }
        outcome
    }

    fn take_given_up(&self, those: impl Fn(&Plan) -> bool) -> Vec<Plan> {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.extract_if(.., |plan| those(plan)).collect()
    }

    fn remember(&self, plan: &Plan) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.push(plan.clone());
    }

    /// Undoes an unfinished plan, or carries it on, from where its journal says it is.
    pub(crate) fn resume(&self, plan: &Plan) -> HostResult<()> {
        let steps = self
            .store
            .read(|db| operation::steps(db, plan.id))
            .map_err(store_error);
        let steps = steps.inspect_err(|_| self.remember(plan))?;
        match plan.direction {
            Direction::Back => {
                let mut last = steps.iter().map(|step| step.n as usize).max().unwrap_or(0);
                // A power cut may have taken back that a step began which claims nothing; its effect may be there.
                while plan
                    .steps
                    .get(last + 1)
                    .is_some_and(|step| step.body().claims().is_empty())
                {
                    last += 1;
                }
                self.undo(plan, last, None, &NoEvents)
                    .inspect_err(|_| self.remember(plan))
            }
            Direction::Forward => {
                let done = |step: &&JournalStep| step.state == StepState::Applied;
                let first = steps.iter().filter(done).count();
                self.carry_on(plan, first, &NoEvents, &Cancel::new())
            }
        }
    }

    /// Applies the steps from `first` on, whose `applying` is written already.
    pub(crate) fn carry_on(
        &self,
        plan: &Plan,
        first: usize,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        // A forward plan is never cancelled: half a stop helps nobody.
        let never = Cancel::new();
        let cancel = if plan.direction == Direction::Back {
            cancel
        } else {
            &never
        };
        let cx = StepCx {
            host: &*self.host,
            events,
            cancel,
        };
        for (n, step) in plan.steps.iter().enumerate().skip(first) {
            if let Err(error) = self.apply_one(plan, n, step, &cx) {
                return Err(self.give_up(plan, n, error, events));
            }
        }
        if plan.steps.is_empty() {
            let stored = plan.clone();
            let finished = self.commit(self.ends, move |tx| finish(tx, &stored, &stored.done));
            finished.inspect_err(|_| self.remember(plan))?;
        }
        Ok(())
    }

    fn apply_one(&self, plan: &Plan, n: usize, step: &Step, cx: &StepCx<'_>) -> HostResult<()> {
        if cx.cancel.is_cancelled() {
            return Err(ApiError::new(ErrorCode::Cancelled, "cancelled"));
        }
        let began = self.host.monotonic_us();
        cx.events.stage(step.body().stage(), "");
        let changes = step.body().apply(cx)?;
        let us = self.host.monotonic_us().saturating_sub(began);
        let (at_ms, stored) = (self.host.now_ms(), plan.clone());
        let durability = self.durability(plan, n + 1);
        self.commit(durability, move |tx| {
            applied(tx, &stored, n, &changes, at_ms, us)
        })?;
        cx.events.emit(EventKind::StageDone {
            stage: step.body().stage().to_owned(),
            us,
        });
        Ok(())
    }

    fn begin(&self, plan: &Plan) -> HostResult<()> {
        let json = serde_json::to_string(plan).map_err(|error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("cannot write a plan down: {error}"),
            )
        })?;
        let (stored, at_ms) = (plan.clone(), self.host.now_ms());
        let durability = match self.ends {
            // What recovery begins claims nothing and loses nothing: plans that end what has ended.
            Durability::Soon if stored.direction == Direction::Forward => Durability::Soon,
            _ => Durability::Now,
        };
        self.commit(durability, move |tx| {
            let record = PlanRecord {
                id: stored.id,
                operation: stored.operation,
                version: stored.version,
                plan: json,
            };
            if let Some(id) = stored.vm
                && stored.kind != PlanKind::CreateVm
            {
                check_vm(tx, id, stored.direction)?;
            }
            operation::begin_plan(tx, &record)?;
            stored
                .begin
                .iter()
                .try_for_each(|change| change.apply(tx))?;
            about_to_apply(tx, &stored, 0, at_ms)
        })
    }

    /// Step `n` failed: undoes a `Back` plan, ends a `Forward` one where it stands. What cannot be ended now is tried
    /// again.
    fn give_up(&self, plan: &Plan, n: usize, error: ApiError, events: &dyn Events) -> ApiError {
        let (outcome, what) = match plan.direction {
            Direction::Back => (self.undo(plan, n, Some(&error), events), "undone"),
            Direction::Forward => (self.stay(plan, n, &error), "ended"),
        };
        match outcome {
            Ok(()) => error,
            Err(resists) => {
                self.remember(plan);
                tracing::error!(plan = %plan.id, %resists, "a plan could not be {what}; it will be tried again");
                let message = format!(
                    "{}; and it could not be {what}: {}",
                    error.message, resists.message
                );
                ApiError { message, ..error }
            }
        }
    }

    /// Reverts steps `n` to 0 and finishes the plan. Stops at the first that resists: earlier steps made what later
    /// ones stand on (a directory may not go while the process that runs in it cannot be ended).
    pub(crate) fn undo(
        &self,
        plan: &Plan,
        n: usize,
        cause: Option<&ApiError>,
        events: &dyn Events,
    ) -> HostResult<()> {
        let never = Cancel::new();
        let cx = StepCx {
            host: &*self.host,
            events,
            cancel: &never,
        };
        for (n, step) in plan.steps.iter().enumerate().take(n + 1).rev() {
            events.stage("undo", step.name());
            let changes = step.body().revert(&cx)?;
            let (stored, at_ms) = (plan.clone(), self.host.now_ms());
            let cause = cause.map(|cause| cause.message.clone());
            self.commit(Durability::Soon, move |tx| {
                reverted(tx, &stored, n, &changes, at_ms, cause)
            })?;
        }
        let (stored, changes) = (plan.clone(), plan.undone(cause));
        self.commit(self.ends, move |tx| finish(tx, &stored, &changes))
    }

    /// A forward plan stops at step `n`. Its VM says so, its claims stay, the request may be made again. Without a VM
    /// there is nobody to make it again (the name is gone already): then it stays unfinished, as do those that switch a VM's disks.
    fn stay(&self, plan: &Plan, n: usize, error: &ApiError) -> HostResult<()> {
        let Some(vm) = plan.vm else {
            return Err(error.clone());
        };
        let state = match plan.kind {
            // Half deleted is not an error that a start could get out of.
            PlanKind::DeleteVm => Some(VmState::Deleting),
            // Its memory is on the disk; its VMM is ended before it goes on.
            PlanKind::EndSuspended => Some(VmState::Suspended),
            // Which files are its disks is in question until it is done: it is tried again before anything else of the VM's.
            PlanKind::SwitchDisks | PlanKind::RestoreVm => return Err(error.clone()),
            // The VM is as it was.
            PlanKind::RemoveOldDisks | PlanKind::DeleteCheckpoint => None,
            _ => Some(VmState::Error),
        };
        let state = state.map(|state| Change::SetVmState {
            vm,
            state,
            error: Some(error.message.clone()),
        });
        let mut changes: Vec<Change> = state.into_iter().collect();
        // Why its VMM ended stays true: by it, and not by this error, the VM is started again or not.
        let is_cause = |change: &&Change| matches!(change, Change::SetExit { .. });
        changes.extend(plan.done.iter().filter(is_cause).cloned());
        let (stored, at_ms, message) = (plan.clone(), self.host.now_ms(), error.message.clone());
        self.commit(self.ends, move |tx| {
            let mut line = line(&stored, n, StepState::Applying, at_ms);
            line.error = Some(message);
            operation::set_step(tx, stored.id, &line)?;
            finish(tx, &stored, &changes)
        })
    }

    fn commit(
        &self,
        durability: Durability,
        change: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> HostResult<()> {
        self.store
            .write_as(durability, move |tx| change(tx))
            .map_err(store_error)
    }
}

/// Refuses a plan of a VM that is gone, or whose damaged record only its end may follow.
fn check_vm(db: &Connection, id: VmId, direction: Direction) -> Result<(), StoreError> {
    let Some(record) = vm::by_id(db, id)? else {
        let id = id.to_string();
        return Err(StoreError::Gone { what: "VM", id });
    };
    match record.damage {
        Some(why) if direction == Direction::Back => Err(StoreError::Damaged {
            what: "VM",
            name: record.name.to_string(),
            why,
        }),
        _ => Ok(()),
    }
}

fn line(plan: &Plan, n: usize, state: StepState, at_ms: i64) -> JournalStep {
    let name = plan.steps.get(n).map_or("", Step::name).to_owned();
    JournalStep {
        n: u32::try_from(n).unwrap_or(u32::MAX),
        name,
        state,
        at_ms,
        us: None,
        error: None,
    }
}

fn about_to_apply(db: &Connection, plan: &Plan, n: usize, at_ms: i64) -> Result<(), StoreError> {
    let Some(step) = plan.steps.get(n) else {
        return Ok(());
    };
    for wanted in step.body().claims() {
        claim::add(db, &wanted, &plan.owner)?;
    }
    operation::set_step(db, plan.id, &line(plan, n, StepState::Applying, at_ms))
}

fn applied(
    db: &Connection,
    plan: &Plan,
    n: usize,
    changes: &[Change],
    at_ms: i64,
    us: u64,
) -> Result<(), StoreError> {
    let mut line = line(plan, n, StepState::Applied, at_ms);
    line.us = Some(us);
    operation::set_step(db, plan.id, &line)?;
    for gone in plan
        .steps
        .get(n)
        .map(|step| step.body().releases())
        .unwrap_or_default()
    {
        claim::release(db, &gone, &plan.owner)?;
    }
    changes.iter().try_for_each(|change| change.apply(db))?;
    if n + 1 == plan.steps.len() {
        return finish(db, plan, &plan.done);
    }
    about_to_apply(db, plan, n + 1, at_ms)
}

fn reverted(
    db: &Connection,
    plan: &Plan,
    n: usize,
    changes: &[Change],
    at_ms: i64,
    cause: Option<String>,
) -> Result<(), StoreError> {
    let mut line = line(plan, n, StepState::Reverted, at_ms);
    line.error = cause;
    operation::set_step(db, plan.id, &line)?;
    for gone in plan
        .steps
        .get(n)
        .map(|step| step.body().claims())
        .unwrap_or_default()
    {
        claim::release(db, &gone, &plan.owner)?;
    }
    changes.iter().try_for_each(|change| change.apply(db))
}

fn finish(db: &Connection, plan: &Plan, changes: &[Change]) -> Result<(), StoreError> {
    changes.iter().try_for_each(|change| change.apply(db))?;
    operation::finish_plan(db, plan.id)
}
