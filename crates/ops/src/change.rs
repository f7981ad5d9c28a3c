//! Changes of a step to the store: data, applied in the transaction that journals the step.

use banger_api::vm::VmState;
use banger_api::{CheckpointId, ContentDigest, ExitCause, ImageName, KernelName, VmId, VmName};
use banger_engine::VmmIdentity;
use banger_net_control::NetIdentity;
use banger_store::{
    CheckpointRecord, Claim, ClaimKind, Connection, ImageRecord, KernelRecord, Owner, Reboots,
    StoreError, VmDisks, VmRecord, checkpoint, claim, image, kernel, layer, operation, vm,
};
use serde::{Deserialize, Serialize};

use crate::policy;

/// One change of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Adds a VM; its name must be free. Its image is known to it by the name that it has now.
    InsertVm(Box<VmRecord>),
    /// Removes a VM's row with its checkpoints, and all its claims.
    DeleteVm(VmId),
    /// Moves a VM to a state; `error` replaces the one that it had, and the cause of its last end is forgotten. A reboot that
    /// is due stays due while the VM starts, and when that is cut off.
    SetVmState {
        /// The VM.
        vm: VmId,
        /// Its state.
        state: VmState,
        /// Its error, or none.
        error: Option<String>,
    },
    /// Gives a VM another name, which must be free.
    SetName {
        /// The VM.
        vm: VmId,
        /// Its name from now on.
        name: VmName,
    },
    /// Its VMM, or that it has none.
    SetVmm {
        /// The VM.
        vm: VmId,
        /// Its VMM.
        vmm: Option<VmmIdentity>,
    },
    /// Its network process, or that it has none.
    SetNet {
        /// The VM.
        vm: VmId,
        /// Its network process.
        net: Option<NetIdentity>,
    },
    /// Cause of its VMM's end by itself, or none.
    SetExit {
        /// The VM.
        vm: VmId,
        /// The cause.
        exit: Option<ExitCause>,
    },
    /// Its guest rebooted, which ended its VMM: it is to be booted again.
    Rebooted {
        /// The VM.
        vm: VmId,
        /// When, ms since 1970.
        at_ms: i64,
    },
    /// It is not booted again after a reboot, and its reboots so far are forgotten.
    StaysDown(VmId),
    /// Its guest became reachable; its present settings are in force.
    SetStarted {
        /// The VM.
        vm: VmId,
        /// When, ms since 1970.
        at_ms: i64,
    },
    /// Its work disk has this size from now on, in its guest too when that runs.
    SetDisk {
        /// The VM.
        vm: VmId,
        /// The size in bytes.
        bytes: u64,
    },
    /// The files of its disks from now on.
    SetDisks {
        /// The VM.
        vm: VmId,
        /// The disks.
        disks: VmDisks,
    },
    /// Adds a checkpoint; its name must be free.
    InsertCheckpoint(Box<CheckpointRecord>),
    /// Removes a checkpoint; what had gone on from it has then gone on from its parent.
    DeleteCheckpoint(CheckpointId),
    /// Adds an image; its name must be free.
    InsertImage(Box<ImageRecord>),
    /// Removes an image's name; a VM that knows the image by it knows it by another one then.
    DeleteImage(ImageName),
    /// Gives an image, and the VMs that know it by its name, another name, which must be free.
    RenameImage {
        /// Its name; it must be there.
        from: ImageName,
        /// Its new name.
        to: ImageName,
    },
    /// Lets an image's name, and the VMs that know it by this name, stand for other files. Their bases must be equal.
    ReplaceImage {
        /// Digest of the files that the name stands for; it must still do so.
        from: ContentDigest,
        /// Its present content.
        to: Box<ImageRecord>,
    },
    /// Lets an image's name stand for other files. The old ones, and the VMs that are made from them and know them by
    /// this name, have another name from then on.
    SupersedeImage {
        /// Digest of the files that the name stands for; it must still do so.
        from: ContentDigest,
        /// Its present content.
        to: Box<ImageRecord>,
        /// Name of the old files; free, or theirs already.
        kept: ImageName,
    },
    /// Adds a kernel; its name must be free.
    InsertKernel(Box<KernelRecord>),
    /// Removes a kernel's name.
    DeleteKernel(KernelName),
    /// Adds a claim.
    Claim(Claim, Owner),
    /// Releases a claim.
    Release(Claim, Owner),
    /// Releases all host ports of a VM.
    ReleasePorts(VmId),
    /// Releases the users that were a VM's VMMs.
    ReleaseUsers(VmId),
    /// Releases all launches of a VM: nothing of it runs any more.
    ReleaseLaunches(VmId),
    /// Hands a claim over.
    Transfer {
        /// The claim.
        claim: Claim,
        /// Present owner.
        from: Owner,
        /// Next owner.
        to: Owner,
    },
    /// Changes nothing, and refuses the whole transaction unless a name stands for these files.
    Named(Owner),
    /// Changes nothing, and refuses the whole transaction unless this name stands for these files.
    Stands {
        /// Name of the image or kernel.
        name: String,
        /// Its files.
        files: Owner,
    },
    /// Changes nothing, and refuses the whole transaction when a name or a VM stands for these files.
    Unused(Owner),
}

impl Change {
    /// Applies it inside a transaction. A VM that is gone is no error: its plan was undone by another way.
    ///
    /// # Errors
    /// The store's: a taken name, a claimed resource.
    pub fn apply(&self, db: &Connection) -> Result<(), StoreError> {
        match self {
            Self::InsertVm(record) => vm::insert(db, &under_present_name(db, record)?),
            Self::DeleteVm(id) => {
                vm::delete(db, *id)?;
                checkpoint::delete_of_vm(db, *id)?;
                operation::abandon_plans(db, *id)?;
                claim::release_all(db, &Owner::Vm(*id))
            }
            Self::SetVmState {
                vm: id,
                state,
                error,
            } => edit(db, *id, |record| {
                record.state = *state;
                record.error.clone_from(error);
                record.exit = None;
                record.reboots.due &= matches!(state, VmState::Starting | VmState::Stopped);
            }),
            Self::SetName { vm: id, name } => edit(db, *id, |record| record.name.clone_from(name)),
            Self::SetVmm { vm: id, vmm } => edit(db, *id, |record| record.vmm = vmm.clone().into()),
            Self::SetNet { vm: id, net } => {
                edit(db, *id, |record| record.network.process.clone_from(net))
            }
            Self::SetExit { vm: id, exit } => edit(db, *id, |record| record.exit = exit.clone()),
            Self::Rebooted { vm: id, at_ms } => edit(db, *id, |record| {
                record.reboots.note(*at_ms, policy::REBOOTS_WITHIN_MS);
            }),
            Self::StaysDown(id) => edit(db, *id, |record| record.reboots = Reboots::default()),
            Self::SetStarted { vm: id, at_ms } => edit(db, *id, |record| {
                record.started_ms = Some(*at_ms);
                record.restart_needed = false;
                record.runs = None;
            }),
            Self::SetDisk { vm: id, bytes } => edit(db, *id, |record| record.disk_bytes = *bytes),
            Self::SetDisks { vm: id, disks } => {
                edit(db, *id, |record| record.disks.clone_from(disks))
            }
            Self::InsertCheckpoint(record) => checkpoint::insert(db, record),
            Self::DeleteCheckpoint(id) => {
                let Some(gone) = checkpoint::by_id(db, *id)? else {
                    return Ok(());
                };
                checkpoint::delete(db, &gone)?;
                edit(db, gone.vm, |record| {
                    if record.disks.checkpoint == Some(*id) {
                        record.disks.checkpoint = gone.parent;
                    }
                })
            }
            Self::InsertImage(record) => image::insert(db, record),
            Self::DeleteImage(name) => {
                image::delete(db, name)?;
                for vm in vm::list(db)?.iter().filter(|vm| vm.image == *name) {
                    vm::update(db, &under_present_name(db, vm)?)?;
                }
                Ok(())
            }
            Self::RenameImage { from, to } => match image::rename(db, from, to)? {
                true => edit_users(db, from, |vm| vm.image = to.clone()),
                false => Err(changed(format!("image {from}"), "is gone")),
            },
            Self::ReplaceImage { from, to } => {
                take_name(db, from, to)?;
                edit_users(db, &to.name, |vm| {
                    if vm.image_digest == *from {
                        vm.image_digest = to.digest;
                    }
                })
            }
            Self::SupersedeImage { from, to, kept } => {
                let old = ImageRecord {
                    name: kept.clone(),
                    superseded: true,
                    ..take_name(db, from, to)?
                };
                // Files that the name stood for before, too, may have kept theirs.
                if image::by_name(db, kept.as_str())?.is_none_or(|known| known.digest != *from) {
                    image::insert(db, &old)?;
                }
                edit_users(db, &to.name, |vm| {
                    if vm.image_digest == *from {
                        vm.image.clone_from(kept);
                    }
                })
            }
            Self::InsertKernel(record) => kernel::insert(db, record),
            Self::DeleteKernel(name) => kernel::delete(db, name).map(|_| ()),
            Self::Claim(claim, owner) => claim::add(db, claim, owner),
            Self::Release(claim, owner) => claim::release(db, claim, owner),
            Self::Transfer { claim, from, to } => claim::transfer(db, claim, from, to),
            Self::Named(files) => match named(db, files)? {
                true => Ok(()),
                false => Err(changed(files.to_string(), "is gone")),
            },
            Self::Stands { name, files } => match stands(db, name, files)? {
                true => Ok(()),
                false => Err(changed(name.clone(), "is another now")),
            },
            Self::Unused(files) => match named(db, files)? || used(db, files)? {
                false => Ok(()),
                true => Err(changed(files.to_string(), "is in use")),
            },
            Self::ReleasePorts(id) => claim::release_kind(db, ClaimKind::HostPort, &Owner::Vm(*id)),
            Self::ReleaseUsers(id) => claim::release_kind(db, ClaimKind::User, &Owner::Vm(*id)),
            Self::ReleaseLaunches(id) => {
                claim::release_kind(db, ClaimKind::Process, &Owner::Vm(*id))
            }
        }
    }
}

/// Tells whether an image or kernel has a name that stands for these files.
fn named(db: &Connection, files: &Owner) -> Result<bool, StoreError> {
    match files {
        Owner::Image(digest) => image::is_named(db, digest),
        Owner::Kernel(digest) => kernel::is_named(db, digest),
        Owner::Layer(_) | Owner::Vm(_) | Owner::Operation(_) => Ok(false),
    }
}

/// Tells whether this name of an image or kernel stands for these files.
fn stands(db: &Connection, name: &str, files: &Owner) -> Result<bool, StoreError> {
    match files {
        Owner::Image(digest) => {
            let known = image::by_name(db, name)?;
            Ok(known.is_some_and(|known| known.digest == *digest))
        }
        Owner::Kernel(digest) => {
            let known = kernel::by_name(db, name)?;
            Ok(known.is_some_and(|known| known.digest == *digest))
        }
        Owner::Layer(_) | Owner::Vm(_) | Owner::Operation(_) => Ok(false),
    }
}

/// Tells whether a VM is made from these files, or lies over them.
fn used(db: &Connection, files: &Owner) -> Result<bool, StoreError> {
    match files {
        Owner::Image(digest) => vm::uses_image(db, digest),
        Owner::Kernel(digest) => vm::uses_kernel(db, digest),
        Owner::Layer(id) => layer::is_used(db, *id),
        Owner::Vm(_) | Owner::Operation(_) => Ok(false),
    }
}

/// A VM under a name that its image has by now: it may have been renamed, superseded or deleted since it was looked up.
fn under_present_name(db: &Connection, vm: &VmRecord) -> Result<VmRecord, StoreError> {
    let mut vm = vm.clone();
    let is_it = |image: &ImageRecord| image.digest == vm.image_digest;
    if !image::by_name(db, vm.image.as_str())?.is_some_and(|image| is_it(&image))
        && let Some(image) = image::list(db)?.into_iter().find(is_it)
    {
        vm.image = image.name;
    }
    Ok(vm)
}

/// Lets the name of `to` stand for it and no longer for the files `from`; what it stood for.
fn take_name(
    db: &Connection,
    from: &ContentDigest,
    to: &ImageRecord,
) -> Result<ImageRecord, StoreError> {
    let known = image::by_name(db, to.name.as_str())?.filter(|known| known.digest == *from);
    let Some(known) = known else {
        return Err(changed(format!("image {}", to.name), "is another now"));
    };
    image::delete(db, &to.name)?;
    image::insert(db, to)?;
    Ok(known)
}

fn changed(what: String, how: &'static str) -> StoreError {
    StoreError::Changed { what, how }
}

/// Edits the VMs that know their image by this name.
fn edit_users(
    db: &Connection,
    image: &ImageName,
    mut change: impl FnMut(&mut VmRecord),
) -> Result<(), StoreError> {
    for mut record in vm::list(db)?.into_iter().filter(|vm| vm.image == *image) {
        change(&mut record);
        vm::update(db, &record)?;
    }
    Ok(())
}

fn edit(db: &Connection, id: VmId, edit: impl FnOnce(&mut VmRecord)) -> Result<(), StoreError> {
    if let Some(mut record) = vm::by_id(db, id)? {
        edit(&mut record);
        vm::update(db, &record)?;
    }
    Ok(())
}
