//! Booting VMs.

use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, StopVm, VmState};
use banger_api::{ApiError, ContentDigest, ErrorCode};
use banger_ops::policy::{self, Request};
use banger_ops::{Events as _, plans};
use banger_store::{OwnKernel, vm};

use super::on_vm::{Turn, Verb, on_vm};
use super::rules::give_policy;
use super::stop::stop_deadline;
use super::{addresses, launch};
use crate::{Control, template};

/// Starts an existing VM.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub fn start(control: &Control, reference: &str) -> Result<Accepted, ApiError> {
    let verb = Verb::new(OperationKind::StartVm, Request::Start, VmState::Running);
    on_vm(control, reference, verb, |turn| turn.boot())
}

/// Stops a VM in order and boots it again.
///
/// # Errors
/// `not_found`, `wrong_state`, `invalid_argument`.
pub fn restart(control: &Control, reference: &str, request: &StopVm) -> Result<Accepted, ApiError> {
    let deadline_ms = stop_deadline(request)?;
    let verb = Verb::new(OperationKind::RestartVm, Request::Restart, VmState::Running);
    on_vm(control, reference, verb, move |turn| {
        if turn.is_wanted(Request::Stop)? {
            turn.stop(deadline_ms)?;
        }
        turn.again()?.boot()
    })
}

/// Starts the VMs that are to run always and were lost, with their host or by a crash.
///
/// # Errors
/// Only the store's.
pub fn start_again(control: &Control) -> Result<(), ApiError> {
    let lost = control
        .read(vm::list)?
        .into_iter()
        .filter(policy::starts_again);
    for record in lost {
        if let Err(error) = start(control, &record.id.to_string()) {
            tracing::error!(vm = %record.name, %error, "cannot start a VM again");
        }
    }
    Ok(())
}

impl Turn<'_> {
    /// Starts the VM, which does not run, from a template when there is one. The plan first ends a VMM that an earlier stop could
    /// not end.
    pub(super) fn boot(&self) -> Result<(), ApiError> {
        self.start_in(Way::Any)
    }

    /// Starts the VM in one of the ways that are allowed. A kernel of its own root is taken from there first, and again when
    /// the root has another one by now.
    pub(super) fn start_in(&self, way: Way) -> Result<(), ApiError> {
        match self.record.own_kernel {
            OwnKernel::No => self.start_as_it_is(way),
            // What is suspended goes on with the kernel that it has.
            OwnKernel::Wanted if self.record.state != VmState::Suspended => {
                self.with_own_kernel()?.start_as_it_is(Way::Boot)
            }
            OwnKernel::Wanted => self.start_as_it_is(Way::Boot),
            OwnKernel::Taken => match self.start_as_it_is(Way::Boot) {
                Err(error) if error.code == ErrorCode::OtherKernel => {
                    self.again()?.with_own_kernel()?.start_as_it_is(Way::Boot)
                }
                outcome => outcome,
            },
        }
    }

    fn start_as_it_is(&self, way: Way) -> Result<(), ApiError> {
        let woken = match (self.record.state, way) {
            (VmState::Suspended, _) => match self.go_on()? {
                true => Woken::Runs,
                false => Woken::Lost,
            },
            (_, Way::Any) => self.wake()?,
            (_, Way::Boot) => Woken::No,
        };
        match woken {
            Woken::Runs => {}
            Woken::No => self.boot_kernel(None)?,
            Woken::Lost => self.again()?.boot_kernel(None)?,
            Woken::Failed(key) => {
                self.again()?.boot_kernel(Some(key))?;
            }
        }
        let id = self.record.id;
        if let Some(runs) = self.control.read(|db| vm::by_id(db, id))? {
            self.control.environment().vm_runs(self.control, &runs);
            self.control.environment().net_runs(self.control, &runs);
            // They may have been changed while it started.
            give_policy(self.control, id)?;
        }
        Ok(())
    }

    /// Has the VM wake from its template, when there is one. What goes wrong is told, and is no failure.
    fn wake(&self) -> Result<Woken, ApiError> {
        let files = self.files();
        let record = addresses::prepared(self.control, &self.record)?;
        let start = launch::start_vm(self.control, &record, &files)?;
        let found = template::template_for(self.control, &record, &start);
        let Some((key, Some(template))) = found.map(|found| (found.key, found.files)) else {
            return Ok(Woken::No);
        };
        self.control.environment().template_is_used(&template);
        let woken = template::woken(&start, &files, template);
        let outcome = self.run(plans::start(self.op.id, &record, &files, &woken));
        match outcome {
            Ok(()) => Ok(Woken::Runs),
            Err(error) if error.code == ErrorCode::Cancelled => Err(error),
            Err(error) => {
                let message = &error.message;
                self.op.warn(&format!(
                    "it did not wake from its template, and is booted instead: {message}"
                ));
                Ok(Woken::Failed(key))
            }
        }
    }

    /// Boots a kernel. `failed` is the template that the VM did not wake from.
    fn boot_kernel(&self, failed: Option<ContentDigest>) -> Result<(), ApiError> {
        let files = self.files();
        let record = addresses::prepared(self.control, &self.record)?;
        let start = launch::start_vm(self.control, &record, &files)?;
        self.run(plans::start(self.op.id, &record, &files, &start))?;
        let kernel = record.kernel_digest;
        match failed {
            // It booted, so the template is to blame.
            Some(key) => template::discard(self.control, kernel, key),
            // A guest with a kernel of its own root wakes from none.
            None if record.own_kernel == OwnKernel::No => {
                template::want(self.control, &record, &start);
            }
            None => {}
        }
        Ok(())
    }
}

/// Ways of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From a template, when there is one.
    Any,
    /// By a boot alone.
    Boot,
}

/// Outcome of waking a VM.
enum Woken {
    /// It runs.
    Runs,
    /// There is no template for it.
    No,
    /// It was suspended, and its memory is lost.
    Lost,
    /// It did not wake from this template.
    Failed(ContentDigest),
}
