//! The one way for a request to work on an existing VM.
//!
//! ```text
//! find ─► check against the state after the queued operations ─► operation ─► its turn
//!                             settle ─► fresh record ─► check against the present state ─► work
//! ```

use std::sync::Arc;

use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, VmState};
use banger_api::{ApiError, ErrorCode, VmId};
use banger_ops::policy::{self, Request};
use banger_ops::{Plan, VmFiles};
use banger_store::{VmRecord, vm};

use super::vm_view;
use crate::locks::Key;
use crate::operations::{Asked, Locked, Running};
use crate::{Control, find_vm};

/// A request that works on an existing VM.
pub(super) struct Verb {
    /// Kind of its operation.
    pub(super) kind: OperationKind,
    /// Its kind in the policy table.
    pub(super) request: Request,
    /// The VM's state after success; `None` when it does not change.
    pub(super) leads_to: Option<VmState>,
    /// Locks that it needs before the VM's.
    pub(super) before: Vec<Key>,
    /// States in which nothing is left to do when its turn comes, whatever the policy says of a new request.
    pub(super) done_in: &'static [VmState],
    /// True when nothing is left to do if the VM is gone by then.
    pub(super) done_when_gone: bool,
    /// True when it first cancels the other operations on the VM.
    pub(super) makes_way: bool,
}

impl Verb {
    /// A verb with the usual settings.
    pub(super) fn new(kind: OperationKind, request: Request, leads_to: VmState) -> Self {
        Self {
            kind,
            request,
            leads_to: Some(leads_to),
            before: Vec::new(),
            done_in: &[],
            done_when_gone: false,
            makes_way: false,
        }
    }
}

/// The turn of an operation at a VM: its lock is held, no plan is half-way, the record is fresh.
pub(super) struct Turn<'a> {
    pub(super) control: &'a Control,
    pub(super) op: &'a Arc<Running>,
    pub(super) record: VmRecord,
}

impl<'a> Turn<'a> {
    /// The turn at `vm`, whose lock is held; `None` when the VM is gone.
    ///
    /// # Errors
    /// An earlier plan stopped half-way and still cannot be finished.
    pub(super) fn at(
        control: &'a Control,
        op: &'a Arc<Running>,
        vm: VmId,
    ) -> Result<Option<Self>, ApiError> {
        control.settle(vm)?;
        let record = control.read(|db| vm::by_id(db, vm))?;
        Ok(record.map(|record| Self {
            control,
            op,
            record,
        }))
    }

    /// The same turn with a fresh record, after the operation has changed the VM.
    ///
    /// # Errors
    /// `not_found` when it is gone.
    pub(super) fn again(&self) -> Result<Self, ApiError> {
        Self::at(self.control, self.op, self.record.id)?.ok_or_else(gone)
    }

    pub(super) fn files(&self) -> VmFiles {
        self.control.places().vm_of(&self.record)
    }

    /// Tells whether there is anything to do for `request`.
    ///
    /// # Errors
    /// `wrong_state`.
    pub(super) fn is_wanted(&self, request: Request) -> Result<bool, ApiError> {
        policy::check_damage(request, &self.record)?;
        policy::check(request, self.record.name.as_str(), self.record.state)
    }

    pub(super) fn run(&self, plan: Plan) -> Result<(), ApiError> {
        self.control.run(plan, self.op)
    }

    /// Runs a plan that ends the VM's VMM, and ends the conversations with its guest.
    pub(super) fn run_to_the_end(&self, plan: Plan) -> Result<(), ApiError> {
        let outcome = self.run(plan);
        self.control.environment().vm_is_gone(self.record.id);
        outcome
    }
}

pub(super) fn gone() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "the VM was deleted in the meantime")
}

/// Does `work` on the VM that `reference` names, when the operation's turn has come.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub(super) fn on_vm(
    control: &Control,
    reference: &str,
    verb: Verb,
    work: impl FnOnce(&Turn<'_>) -> Result<(), ApiError> + Send + 'static,
) -> Result<Accepted, ApiError> {
    let record = find_vm(control, reference)?;
    policy::check_damage(verb.request, &record)?;
    let expected = control.operations().expected(&record);
    policy::check(verb.request, record.name.as_str(), expected)?;
    if verb.makes_way {
        control.operations().make_way(record.id);
    }
    let id = record.id;
    let mut keys = verb.before;
    keys.push(Key::Vm(id));
    let asked = Asked {
        kind: verb.kind,
        vm: Some((id, record.name.to_string())),
        leads_to: verb.leads_to,
        keys,
    };
    let task = control.clone();
    let running = control
        .operations()
        .spawn(asked, move |op, _locked: Locked| {
            let Some(turn) = Turn::at(&task, op, id)? else {
                return match verb.done_when_gone {
                    true => Ok(()),
                    false => Err(gone()),
                };
            };
            if verb.done_in.contains(&turn.record.state) || !turn.is_wanted(verb.request)? {
                return Ok(());
            }
            work(&turn)
        })?;
    Ok(running.accepted(Some(vm_view(&record))))
}
