//! Making VMs.

use std::sync::Arc;

use banger_api::kernel::KernelChoice;
use banger_api::operation::{OperationKind, OperationState};
use banger_api::vm::{Accepted, CreateVm, Egress, Vm, VmState};
use banger_api::{
    ApiError, ContentDigest, EngineName, ErrorCode, ImageName, KernelName, OperationId, VmId,
    VmName,
};
use banger_ops::plans::{self, CreateDisks};
use banger_ops::store_error;
use banger_store::{
    ImageRecord, KernelRecord, OwnKernel, Reboots, Transaction, VmDisks, VmNetwork, VmRecord,
    operation, vm,
};

use super::defaults::{self, Sizes};
use super::on_vm::{Turn, gone};
use super::ports::check_ports;
use super::start::Way;
use super::{names, replace, rules, secrets, vm_view};
use crate::locks::Key;
use crate::operations::{Asked, Locked, Running};
use crate::{Control, image, kernel};

/// Image of a VM that names none, when the configuration names none either.
pub const DEFAULT_IMAGE: &str = "debian-bookworm";

/// A VM that is to be made, without its image and kernel, which may have to be made first.
struct Draft {
    id: VmId,
    name: VmName,
    /// Its name while it is made: another one as long as a VM has its own.
    made_as: VmName,
    /// The VM that has the name now, and goes when this one is made.
    replaces: Option<VmId>,
    image: ImageName,
    kernel: KernelName,
    own_kernel: OwnKernel,
    sizes: Sizes,
    network: VmNetwork,
    engine: EngineName,
    created_ms: i64,
    request: CreateVm,
}

impl Draft {
    /// The VM's record, made from this image and kernel.
    fn record(&self, image: &ImageRecord, kernel: &KernelRecord) -> VmRecord {
        VmRecord {
            name: self.made_as.clone(),
            image_digest: image.digest,
            kernel_digest: kernel.digest,
            // The seed of an image that had to be built is known only now.
            disk_bytes: self.sizes.disk.bytes().max(image.seed_bytes.unwrap_or(0)),
            ..self.unmade()
        }
    }

    /// The VM as users see it before it exists.
    fn view(&self) -> Vm {
        vm_view(&self.unmade())
    }

    fn unmade(&self) -> VmRecord {
        let (request, sizes) = (&self.request, &self.sizes);
        VmRecord {
            id: self.id,
            name: self.name.clone(),
            state: VmState::Created,
            image: self.image.clone(),
            image_digest: ContentDigest::UNKNOWN,
            kernel: self.kernel.clone(),
            kernel_digest: ContentDigest::UNKNOWN,
            own_kernel: self.own_kernel,
            engine: self.engine.clone(),
            vcpu: sizes.vcpu,
            memory_mib: sizes.memory_mib,
            disk_bytes: sizes.disk.bytes(),
            overlay_bytes: sizes.overlay.bytes(),
            disks: VmDisks::default(),
            net: sizes.net,
            egress: sizes.egress,
            network: self.network.clone(),
            publish: request.publish.clone(),
            ephemeral: request.ephemeral,
            restart: request.restart.unwrap_or_default(),
            labels: request.labels.clone(),
            restart_needed: false,
            runs: None,
            vmm: None.into(),
            created_ms: self.created_ms,
            started_ms: None,
            error: None,
            exit: None,
            reboots: Reboots::default(),
            damage: None,
        }
    }
}

/// Makes a VM, and starts it when asked to. A faulty request is refused here, before anything exists.
///
/// # Errors
/// `invalid_argument`, `not_found` (image, kernel), `name_taken`, `host_not_ready`.
pub fn create(control: &Control, request: CreateVm) -> Result<Accepted, ApiError> {
    check_engine(request.engine.as_ref().map(EngineName::as_str))?;
    let image_name = image_name(control, &request)?;
    let image = image::known(control, &image_name)?;
    let (named, own_kernel) = match &request.kernel {
        Some(KernelChoice::Named(name)) => (Some(name), OwnKernel::No),
        Some(KernelChoice::Image) => (None, OwnKernel::Wanted),
        None => (None, OwnKernel::No),
    };
    let kernel = kernel::wanted(control, named)?;
    let seed = image.as_ref().and_then(|image| image.seed_bytes);
    let host = control.environment().host_size();
    let links = control.environment().has_net_links();
    let sizes = defaults::sizes(&request, control.defaults(), host, links, seed)?;
    check_ports(sizes.net, &request.publish)?;
    let (mut allow, mut deny) = (request.allow.clone(), request.deny.clone());
    // Rules of the configuration go with its egress, and with every other one that has room for them.
    if !matches!(sizes.egress, Egress::All | Egress::None) || request.egress.is_none() {
        allow.extend(control.defaults().allow.iter().cloned());
        deny.extend(control.defaults().deny.iter().cloned());
    }
    let narrow = request.narrow.as_ref();
    let network = VmNetwork {
        joined: request.join.clone(),
        secrets: secrets::uses_of(&request.secrets)?,
        ..rules::of_new(control, sizes.stack, &allow, &deny, narrow)?
    };
    let (name, replaces) = wanted_name(control, &request)?;
    let draft = Draft {
        id: VmId::new(),
        made_as: match replaces {
            Some(_) => names::beside(&name, "new")?,
            None => name.clone(),
        },
        name,
        replaces,
        image: image_name,
        kernel: kernel::name_of(kernel.as_ref())?,
        own_kernel,
        sizes,
        network,
        engine: control.environment().engine(),
        created_ms: control.now_ms(),
        request,
    };
    rules::check(&draft.unmade())?;
    rules::check_joined(&draft.unmade())?;
    secrets::check(control, &draft.unmade(), &draft.network.secrets)?;
    // A VM whose image or kernel must be made first queues for that lock without a thread.
    let mut keys = Vec::new();
    if image.is_none() {
        keys.push(image::making(&draft.image));
    }
    if kernel.is_none() {
        keys.push(kernel::making(&draft.kernel));
    }
    keys.push(Key::Vm(draft.id));
    let asked = Asked {
        kind: match replaces {
            Some(_) => OperationKind::ReplaceVm,
            None => OperationKind::CreateVm,
        },
        vm: Some((draft.id, draft.name.to_string())),
        leads_to: Some(match draft.request.start {
            true => VmState::Running,
            false => VmState::Created,
        }),
        keys,
    };
    let (task, view) = (control.clone(), draft.view());
    let running = control
        .operations()
        .spawn(asked, move |op, locked| make(&task, op, &draft, locked))?;
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

fn image_name(control: &Control, request: &CreateVm) -> Result<ImageName, ApiError> {
    match &request.image {
        Some(name) => Ok(name.clone()),
        None => control
            .defaults()
            .image
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

/// The name that a VM is to have, and the VM that has it now and is to go.
fn wanted_name(control: &Control, request: &CreateVm) -> Result<(VmName, Option<VmId>), ApiError> {
    match &request.name {
        Some(name) if request.replace => {
            let old = replace::replaced(control, name)?;
            Ok((name.clone(), old.map(|old| old.id)))
        }
        None if request.replace => Err(ApiError::new(
            ErrorCode::InvalidArgument,
            "a VM can only be replaced by its name",
        )
        .hint("--name NAME says which one")),
        name => Ok((free_name(control, name.as_ref())?, None)),
    }
}

fn free_name(control: &Control, wanted: Option<&VmName>) -> Result<VmName, ApiError> {
    let taken = |name: &str| {
        let found = control.read(|db| vm::by_name(db, name));
        found.ok().flatten().is_some()
    };
    match wanted {
        Some(name) if taken(name.as_str()) => Err(name_taken(name)),
        Some(name) => Ok(name.clone()),
        None => names::make_up(&taken),
    }
}

/// The refusal of a name that another VM has.
pub(super) fn name_taken(name: &VmName) -> ApiError {
    let message = format!("VM name \"{name}\" is taken");
    ApiError::new(ErrorCode::NameTaken, message).hint(format!(
        "banger run --name {name} goes into that VM; another name makes another one"
    ))
}

/// Makes what is missing (image, kernel), then the VM's disks, then starts it if it is to run.
fn make(
    control: &Control,
    op: &Arc<Running>,
    draft: &Draft,
    mut locked: Locked,
) -> Result<(), ApiError> {
    let image = image::ensure(control, op, &draft.image, &locked)?;
    // Other operations that wait for this image may go on.
    locked.release(&image::making(&draft.image));
    let kernel = kernel::ensure(control, op, &draft.kernel, &locked)?;
    locked.release(&kernel::making(&draft.kernel));
    let record = draft.record(&image, &kernel);
    let seed = image.seed_bytes.map(|bytes| {
        let folder = control.places().image(&image.digest);
        (control.environment().seed_of(&folder), bytes)
    });
    let files = control.places().vm(record.id);
    control.run(
        plans::create(op.id, &record, &files, &CreateDisks { seed }),
        op,
    )?;
    if let Some(old) = draft.replaces {
        replace::take_over(control, op, record.id, &draft.name, old)?;
    }
    match draft.request.start {
        true => {
            let way = match draft.request.no_template {
                true => Way::Boot,
                false => Way::Any,
            };
            start_new(control, op, record.id, way, draft.replaces.is_some())
        }
        false => Ok(()),
    }
}

/// The first start of a VM that was made for it. It is kept when its guest failed, so that its log can be read, and when it
/// has replaced another one; every other failure leaves nothing.
fn start_new(
    control: &Control,
    op: &Arc<Running>,
    id: VmId,
    way: Way,
    replaced: bool,
) -> Result<(), ApiError> {
    let turn = Turn::at(control, op, id)?.ok_or_else(gone)?;
    let Err(error) = turn.start_in(way) else {
        if turn.record.ephemeral {
            control.environment().run_is_expected(control, id);
        }
        return Ok(());
    };
    let keep = replaced
        || matches!(
            error.code,
            ErrorCode::GuestFailed
                | ErrorCode::GuestUnreachable
                | ErrorCode::VmmFailed
                | ErrorCode::Timeout
        );
    let turn = turn.again()?;
    if keep {
        let name = &turn.record.name;
        return Err(error.hint(format!(
            "VM \"{name}\" is kept: see banger logs {name}, then banger vm start {name} or banger vm delete {name}"
        )));
    }
    turn.delete()?;
    Err(error)
}

/// Deletes a VM whose making was cut off, then ends the operation that made it: in this order, so that a crash in between
/// is found again by the next recovery.
///
/// # Errors
/// Those of the deletion; the operation stays unfinished then.
pub(crate) fn forget_half_made(
    control: &Control,
    made_by: OperationId,
    id: VmId,
) -> Result<(), ApiError> {
    control.settle(id)?;
    if let Some(record) = control.read(|db| vm::by_id(db, id))? {
        control.run_alone(plans::delete(made_by, &record, &control.places().vm(id)))?;
    }
    let error = ApiError::new(ErrorCode::Internal, "interrupted: the daemon went down");
    let (json, now) = (serde_json::to_string(&error).ok(), control.now_ms());
    let end = move |tx: &Transaction<'_>| {
        operation::finish_operation(tx, made_by, OperationState::Failed, now, json.as_deref())
    };
    control.store().write(end).map_err(store_error)
}
