//! Making, starting, stopping and deleting VMs.

use std::sync::Arc;

use banger_api::vm::{Accepted, CreateVm, KillVm, Pruned, StopVm, VmState};
use banger_api::{ApiError, ErrorCode, ImageName, OperationId, VmId};
use banger_ops::plans::{self, CreateDisks};
use banger_ops::policy::{self, Request};
use banger_ops::{CREATE_VM, Cancel, NoEvents, store_error};
use banger_store::{Transaction, VmRecord, operation, vm};

use super::defaults::{self, HostSize};
use super::published::check_ports;
use super::replacing::forget_with_vm;
use super::{exit, expect_run, find_vm, images, kernels, launch, names, vm_view};
use crate::context::Daemon;
use crate::operations::{Running, now_ms};

/// Image of a VM that names none, when the configuration names none either.
const DEFAULT_IMAGE: &str = "debian-bookworm";
/// Time for a guest to power off before its VMM is killed, in seconds.
const STOP_TIMEOUT_S: u32 = 10;
/// Longest such time that may be asked for, in seconds.
const STOP_TIMEOUT_MAX_S: u32 = 3_600;

/// The present record of a VM that an operation works on.
fn fresh(daemon: &Daemon, id: VmId) -> Result<VmRecord, ApiError> {
    daemon
        .read(|db| vm::by_id(db, id))?
        .ok_or_else(|| ApiError::new(ErrorCode::NotFound, "the VM was deleted in the meantime"))
}

/// Makes a VM, and starts it when asked to. Everything that can be wrong with the request is refused here, before
/// anything exists.
///
/// # Errors
/// `invalid_argument`, `not_found` (image, kernel), `name_taken`, `host_not_ready`.
pub(crate) fn create(daemon: &Daemon, request: CreateVm) -> Result<Accepted, ApiError> {
    check_engine(request.engine.as_deref())?;
    let image_name = image_name(daemon, &request)?;
    let image = images::known(daemon, &image_name)?;
    let kernel = kernels::wanted(daemon, request.kernel.as_ref())?;
    let seed = image.as_ref().and_then(|image| image.seed_bytes);
    let sizes = defaults::sizes(&request, &daemon.config, HostSize::of_this_host(), seed)?;
    check_ports(sizes.net, &request.publish)?;
    let taken = |name: &str| {
        daemon
            .read(|db| vm::by_name(db, name))
            .ok()
            .flatten()
            .is_some()
    };
    let name = match &request.name {
        Some(name) if taken(name.as_str()) => {
            let message = format!("VM name \"{name}\" is taken");
            return Err(ApiError::new(ErrorCode::NameTaken, message).hint(format!(
                "choose another name, or delete the VM: banger vm delete {name}"
            )));
        }
        Some(name) => name.clone(),
        None => names::make_up(&taken)?,
    };
    let record = VmRecord {
        id: VmId::new(),
        name: name.clone(),
        state: VmState::Created,
        image: image_name.clone(),
        image_digest: String::new(),
        kernel: kernels::name_of(kernel.as_ref())?,
        kernel_digest: String::new(),
        engine: daemon.engine.kind().to_string(),
        vcpu: sizes.vcpu,
        memory_mib: sizes.memory_mib,
        disk_bytes: sizes.disk.bytes(),
        overlay_bytes: sizes.overlay.bytes(),
        net: sizes.net,
        egress: sizes.egress,
        publish: request.publish.clone(),
        ephemeral: request.ephemeral,
        restart: request.restart.unwrap_or_default(),
        restart_needed: false,
        vmm: None,
        created_ms: now_ms(),
        started_ms: None,
        error: None,
    };
    let view = vm_view(&record);
    let (task, start) = (daemon.clone(), request.start);
    let running =
        daemon
            .operations
            .spawn(CREATE_VM, Some((record.id, name.to_string())), move |op| {
                let _lock = task.hold(record.id)?;
                let record = make(&task, op, record)?;
                if start {
                    start_new(&task, op, record.id)
                } else {
                    Ok(())
                }
            })?;
    Ok(running.accepted(Some(view)))
}

fn check_engine(engine: Option<&str>) -> Result<(), ApiError> {
    match engine {
        None | Some("auto" | "qemu") => Ok(()),
        Some(other) => Err(ApiError::new(
            ErrorCode::InvalidArgument,
            format!("engine \"{other}\" is not known: use auto or qemu"),
        )),
    }
}

fn image_name(daemon: &Daemon, request: &CreateVm) -> Result<ImageName, ApiError> {
    match &request.image {
        Some(name) => Ok(name.clone()),
        None => daemon
            .config
            .default_image
            .as_deref()
            .unwrap_or(DEFAULT_IMAGE)
            .parse()
            .map_err(|error| {
                ApiError::new(
                    ErrorCode::InvalidArgument,
                    format!("default_image: {error}"),
                )
            }),
    }
}

/// Makes what is missing (image, kernel), then the VM's disks.
fn make(daemon: &Daemon, op: &Arc<Running>, mut record: VmRecord) -> Result<VmRecord, ApiError> {
    let image = images::ensure(daemon, op, &record.image)?;
    let kernel = kernels::ensure(daemon, op, &record.kernel)?;
    record.image_digest = image.digest.clone();
    record.kernel_digest = kernel.digest;
    // Only now, for an image that had to be built, is its seed known.
    record.disk_bytes = record.disk_bytes.max(image.seed_bytes.unwrap_or(0));
    let seed = image.seed_bytes.map(|bytes| {
        (
            daemon
                .paths
                .images()
                .join(&image.digest)
                .join(banger_image::SEED),
            bytes,
        )
    });
    let files = daemon.paths.vm(record.id);
    let plan = plans::create(op.id, &record, &files, &CreateDisks { seed });
    daemon.runner.run(&plan, &**op, &op.cancel)?;
    Ok(record)
}

/// The first start of a VM that was made for it. It is kept when its guest failed, so that its log can be read; every
/// other failure leaves nothing.
fn start_new(daemon: &Daemon, op: &Arc<Running>, id: VmId) -> Result<(), ApiError> {
    let Err(error) = start_locked(daemon, op, id) else {
        expect_run(daemon, id);
        return Ok(());
    };
    let keep = matches!(
        error.code,
        ErrorCode::GuestFailed
            | ErrorCode::GuestUnreachable
            | ErrorCode::VmmFailed
            | ErrorCode::Timeout
    );
    if keep {
        let name = fresh(daemon, id)?.name;
        return Err(error.hint(format!(
            "VM \"{name}\" is kept: see banger logs {name}, then banger vm start {name} or banger vm delete {name}"
        )));
    }
    let record = fresh(daemon, id)?;
    let plan = plans::delete(op.id, &record, &daemon.paths.vm(id));
    daemon.runner.run(&plan, &**op, &op.cancel)?;
    Err(error)
}

/// Starts a VM whose lock is held.
fn start_locked(daemon: &Daemon, op: &Arc<Running>, id: VmId) -> Result<(), ApiError> {
    let record = fresh(daemon, id)?;
    if !policy::check(Request::Start, record.name.as_str(), record.state)? {
        return Ok(());
    }
    clean_up_failed_end(daemon, op, &record)?;
    let files = daemon.paths.vm(id);
    let start = launch::start_vm(daemon, &record, &files)?;
    daemon.runner.run(
        &plans::start(op.id, &record, &files, &start),
        &**op,
        &op.cancel,
    )?;
    exit::watch(daemon, id);
    Ok(())
}

/// A VM in `error` may still have what a stop that gave up could not remove.
fn clean_up_failed_end(
    daemon: &Daemon,
    op: &Arc<Running>,
    record: &VmRecord,
) -> Result<(), ApiError> {
    if record.vmm.is_none() {
        return Ok(());
    }
    let plan = plans::kill(op.id, record, &daemon.paths.vm(record.id), 9);
    daemon.runner.run(&plan, &**op, &op.cancel)
}

/// Starts an existing VM.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub(crate) fn start(daemon: &Daemon, reference: &str) -> Result<Accepted, ApiError> {
    let record = find_vm(daemon, reference)?;
    policy::check(
        Request::Start,
        record.name.as_str(),
        settled(daemon, &record),
    )?;
    let (task, id) = (daemon.clone(), record.id);
    let running = daemon
        .operations
        .spawn("start_vm", named(&record), move |op| {
            let _lock = task.hold(id)?;
            start_locked(&task, op, id)
        })?;
    Ok(running.accepted(Some(vm_view(&record))))
}

/// Deletes a VM whose making was cut off, then ends the operation that made it: in this order, so that a crash in between
/// is found again by the next recovery.
pub(crate) fn forget_half_made(daemon: &Daemon, made_by: OperationId, id: VmId) {
    let forget = || -> Result<(), ApiError> {
        let Some(record) = daemon.read(|db| vm::by_id(db, id))? else {
            return Ok(());
        };
        let plan = plans::delete(made_by, &record, &daemon.paths.vm(id));
        daemon.runner.run(&plan, &NoEvents, &Cancel::new())?;
        let error = ApiError::new(ErrorCode::Internal, "interrupted: the daemon went down");
        let json = serde_json::to_string(&error).ok();
        let end = move |tx: &Transaction<'_>| {
            operation::finish_operation(tx, made_by, "failed", now_ms(), json.as_deref())
        };
        daemon.store.write(end).map_err(store_error)
    };
    if let Err(error) = forget() {
        tracing::error!(vm = %id, %error, "a half-made VM cannot be deleted yet");
    }
}

/// Starts the VMs that are to run always and were lost, with their host or by a crash.
pub(crate) fn start_again(daemon: &Daemon) -> Result<(), ApiError> {
    let lost = daemon
        .read(vm::list)?
        .into_iter()
        .filter(policy::starts_again);
    for record in lost {
        if let Err(error) = start(daemon, &record.id.to_string()) {
            tracing::error!(vm = %record.name, %error, "cannot start a VM again");
        }
    }
    Ok(())
}

/// The state to judge a request by: while an operation works on the VM its end is awaited, under the lock.
fn settled(daemon: &Daemon, record: &VmRecord) -> VmState {
    let busy = daemon
        .operations
        .all_running()
        .iter()
        .any(|op| op.concerns(record.id));
    match record.state {
        VmState::Starting | VmState::Stopping if busy => VmState::Stopped,
        state => state,
    }
}

fn named(record: &VmRecord) -> Option<(VmId, String)> {
    Some((record.id, record.name.to_string()))
}

/// Stops a VM in order.
///
/// # Errors
/// `not_found`, `wrong_state`, `invalid_argument`.
pub(crate) fn stop(
    daemon: &Daemon,
    reference: &str,
    request: &StopVm,
) -> Result<Accepted, ApiError> {
    let deadline_ms = stop_deadline(request)?;
    let record = find_vm(daemon, reference)?;
    policy::check(
        Request::Stop,
        record.name.as_str(),
        settled(daemon, &record),
    )?;
    let (task, id) = (daemon.clone(), record.id);
    let running = daemon
        .operations
        .spawn("stop_vm", named(&record), move |op| {
            let _lock = task.hold(id)?;
            stop_locked(&task, op, id, deadline_ms)
        })?;
    Ok(running.accepted(Some(vm_view(&record))))
}

fn stop_deadline(request: &StopVm) -> Result<u64, ApiError> {
    match request.timeout_s.unwrap_or(STOP_TIMEOUT_S) {
        seconds if seconds <= STOP_TIMEOUT_MAX_S => Ok(u64::from(seconds) * 1_000),
        seconds => Err(ApiError::new(
            ErrorCode::InvalidArgument,
            format!("a timeout of {seconds} s is not possible: use 0 to {STOP_TIMEOUT_MAX_S}"),
        )),
    }
}

fn stop_locked(
    daemon: &Daemon,
    op: &Arc<Running>,
    id: VmId,
    deadline_ms: u64,
) -> Result<(), ApiError> {
    let record = fresh(daemon, id)?;
    if !policy::check(Request::Stop, record.name.as_str(), record.state)? {
        return Ok(());
    }
    let plan = plans::stop(op.id, &record, &daemon.paths.vm(id), deadline_ms);
    let outcome = daemon.runner.run(&plan, &**op, &op.cancel);
    daemon.channels.close(id);
    outcome
}

/// Stops a VM in order and boots it again.
///
/// # Errors
/// `not_found`, `wrong_state`, `invalid_argument`.
pub(crate) fn restart(
    daemon: &Daemon,
    reference: &str,
    request: &StopVm,
) -> Result<Accepted, ApiError> {
    let deadline_ms = stop_deadline(request)?;
    let record = find_vm(daemon, reference)?;
    policy::check(
        Request::Restart,
        record.name.as_str(),
        settled(daemon, &record),
    )?;
    let (task, id) = (daemon.clone(), record.id);
    let running = daemon
        .operations
        .spawn("restart_vm", named(&record), move |op| {
            let _lock = task.hold(id)?;
            stop_locked(&task, op, id, deadline_ms)?;
            start_locked(&task, op, id)
        })?;
    Ok(running.accepted(Some(vm_view(&record))))
}

/// Ends a VM's VMM with a signal.
///
/// # Errors
/// `not_found`, `wrong_state`, `invalid_argument`.
pub(crate) fn kill(
    daemon: &Daemon,
    reference: &str,
    request: &KillVm,
) -> Result<Accepted, ApiError> {
    let signal = signal_number(request.signal.as_deref())?;
    let record = find_vm(daemon, reference)?;
    policy::check(Request::Kill, record.name.as_str(), record.state)?;
    let (task, id) = (daemon.clone(), record.id);
    let running = daemon
        .operations
        .spawn("kill_vm", named(&record), move |op| {
            // A start that runs would hold the lock until its guest answers: it is what is to be killed.
            for other in task.operations.all_running() {
                if other.id != op.id && other.concerns(id) {
                    other.cancel.cancel();
                }
            }
            let _lock = task.hold(id)?;
            let record = fresh(&task, id)?;
            if record.state == VmState::Stopped || record.state == VmState::Created {
                return Ok(());
            }
            let plan = plans::kill(op.id, &record, &task.paths.vm(id), signal);
            let outcome = task.runner.run(&plan, &**op, &op.cancel);
            task.channels.close(id);
            outcome
        })?;
    Ok(running.accepted(Some(vm_view(&record))))
}

fn signal_number(text: Option<&str>) -> Result<i32, ApiError> {
    let Some(text) = text else { return Ok(9) };
    match text.to_ascii_uppercase().trim_start_matches("SIG") {
        "KILL" | "9" => Ok(9),
        "TERM" | "15" => Ok(15),
        "INT" | "2" => Ok(2),
        "HUP" | "1" => Ok(1),
        _ => Err(ApiError::new(
            ErrorCode::InvalidArgument,
            format!("signal \"{text}\" is not known"),
        )
        .hint("use KILL, TERM, INT or HUP")),
    }
}

/// Removes a VM with all that it has. A deletion that runs already is joined.
///
/// # Errors
/// `not_found`, `wrong_state` for a running one without `force`.
pub(crate) fn delete(daemon: &Daemon, reference: &str, force: bool) -> Result<Accepted, ApiError> {
    let record = find_vm(daemon, reference)?;
    if let Some(running) = daemon.operations.running_on(record.id, "delete_vm") {
        return Ok(running.accepted(Some(vm_view(&record))));
    }
    policy::check(
        Request::Delete { force },
        record.name.as_str(),
        record.state,
    )?;
    let (task, id) = (daemon.clone(), record.id);
    let running = daemon
        .operations
        .spawn("delete_vm", named(&record), move |op| {
            let _lock = task.hold(id)?;
            let Some(record) = task.read(|db| vm::by_id(db, id))? else {
                return Ok(());
            };
            policy::check(
                Request::Delete { force },
                record.name.as_str(),
                record.state,
            )?;
            let outcome = task.runner.run(
                &plans::delete(op.id, &record, &task.paths.vm(id)),
                &**op,
                &op.cancel,
            );
            task.channels.close(id);
            if outcome.is_ok() {
                forget_with_vm(&task, op, &record.image);
            }
            outcome
        })?;
    Ok(running.accepted(Some(vm_view(&record))))
}

/// Removes every VM that does not run.
///
/// # Errors
/// Only the store's.
pub(crate) fn prune(daemon: &Daemon, dry_run: bool) -> Result<Pruned, ApiError> {
    let idle = |vm: &VmRecord| {
        matches!(
            vm.state,
            VmState::Created | VmState::Stopped | VmState::Error
        )
    };
    let mut pruned = Pruned::default();
    for record in daemon.read(vm::list)?.into_iter().filter(idle) {
        let files = daemon.paths.vm(record.id);
        let allocated = |path| banger_disk::sparse::allocated_bytes(path).unwrap_or(0);
        pruned.freed_bytes += allocated(&files.system_overlay()) + allocated(&files.work_disk());
        pruned.vms.push(vm_view(&record));
        if !dry_run {
            pruned
                .operations
                .push(delete(daemon, &record.id.to_string(), false)?.operation);
        }
    }
    Ok(pruned)
}
