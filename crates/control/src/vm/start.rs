//! Booting VMs.

use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, StopVm, VmState};
use banger_api::{ApiError, ErrorCode};
use banger_ops::plans::{self, StartVm};
use banger_ops::policy::{self, Request};
use banger_ops::{Events as _, TemplateFiles, VmFiles};
use banger_store::{OwnKernel, VmRecord, vm};

use super::on_vm::{Turn, Verb, on_vm};
use super::rules::give_policy;
use super::stop::stop_deadline;
use super::{addresses, launch};
use crate::Control;
use crate::template::{self, Found};

/// Starts an existing VM.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub fn start(control: &Control, reference: &str) -> Result<Accepted, ApiError> {
    let verb = Verb::new(OperationKind::StartVm, Request::Start, VmState::Running);
    on_vm(control, reference, verb, |turn| turn.start())
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
        turn.again()?.start()
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
    pub(super) fn start(&self) -> Result<(), ApiError> {
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
        match self.record.state {
            VmState::Suspended if self.go_on()? => {}
            VmState::Suspended => self.again()?.start_anew(Way::Boot)?,
            _ => self.start_anew(way)?,
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

    /// Starts a VM that is not suspended: from its template, when there is one, or by a boot.
    fn start_anew(&self, way: Way) -> Result<(), ApiError> {
        let prepared = self.prepared()?;
        let found = prepared.template(self.control);
        if let Some(Found {
            key,
            files: Some(template),
        }) = &found
            && way == Way::Any
        {
            if self.wake(&prepared, template)? {
                return Ok(());
            }
            let turn = self.again()?;
            let prepared = turn.prepared()?;
            turn.boot(&prepared)?;
            // It booted, so the template is to blame.
            template::discard(self.control, prepared.record.kernel_digest, *key);
            return Ok(());
        }
        self.boot(&prepared)?;
        template::want(self.control, found, &prepared.record, prepared.start);
        Ok(())
    }

    fn prepared(&self) -> Result<Prepared, ApiError> {
        let files = self.files();
        let record = addresses::prepared(self.control, &self.record)?;
        let start = launch::start_vm(self.control, &record, &files)?;
        Ok(Prepared {
            files,
            record,
            start,
        })
    }

    /// Has the VM wake from this template; false when it does not. What goes wrong is told, and is no failure.
    fn wake(&self, prepared: &Prepared, template: &TemplateFiles) -> Result<bool, ApiError> {
        let Prepared {
            files,
            record,
            start,
        } = prepared;
        self.control.environment().template_is_used(template);
        let woken = template::woken(start, files, template.clone());
        match self.run(plans::start(self.op.id, record, files, &woken)) {
            Ok(()) => Ok(true),
            Err(error) if error.code == ErrorCode::Cancelled => Err(error),
            Err(error) => {
                let message = &error.message;
                self.op.warn(&format!(
                    "it did not wake from its template, and is booted instead: {message}"
                ));
                Ok(false)
            }
        }
    }

    fn boot(&self, prepared: &Prepared) -> Result<(), ApiError> {
        let Prepared {
            files,
            record,
            start,
        } = prepared;
        self.run(plans::start(self.op.id, record, files, start))
    }
}

/// A start of a VM whose turn it is.
struct Prepared {
    files: VmFiles,
    /// The record with what the start has settled.
    record: VmRecord,
    start: StartVm,
}

impl Prepared {
    /// The template from which it could wake. A guest with a kernel of its own root wakes from none.
    fn template(&self, control: &Control) -> Option<Found> {
        match self.record.own_kernel {
            OwnKernel::No => template::template_for(control, &self.record, &self.start),
            OwnKernel::Wanted | OwnKernel::Taken => None,
        }
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
