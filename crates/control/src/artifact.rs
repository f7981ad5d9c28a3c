//! Common ground of images and kernels: names that stand for files. Several names may share the same files.
//!
//! ```text
//! name ─► record ─► digest ─► directory          making: one at a time for each name
//!                                                 publishing, removing: one at a time for each directory
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_api::operation::OperationKind;
use banger_api::vm::Accepted;
use banger_api::{ApiError, ContentDigest, ErrorCode, OperationId};
use banger_ops::plans::{self, DeleteFiles, PublishImage};
use banger_ops::{OwnDir, Places, Plan};
use banger_store::{
    Connection, ImageRecord, KernelRecord, StoreError, VmRecord, image, kernel, vm,
};

use crate::environment::Environment;
use crate::locks::{Held, Key};
use crate::operations::{Asked, Locked, Running};
use crate::vm::damaged;
use crate::{Control, template};

/// An image or a kernel.
pub(crate) trait Artifact: Clone + Send + 'static {
    /// Noun for it in messages: "image" or "kernel".
    const WHAT: &'static str;
    /// Kind of the operation that removes it.
    const DELETE: OperationKind;

    fn name(&self) -> &str;
    fn digest(&self) -> &ContentDigest;
    /// The digest of the image or kernel that a VM uses.
    fn used_by(vm: &VmRecord) -> &ContentDigest;
    /// Hint for a user whose name is taken.
    fn when_taken(name: &str) -> String;

    fn by_name(db: &Connection, name: &str) -> Result<Option<Self>, StoreError>;
    fn list(db: &Connection) -> Result<Vec<Self>, StoreError>;
    fn is_named(db: &Connection, digest: &ContentDigest) -> Result<bool, StoreError>;

    /// Those that are there for VMs alone, and have none any more.
    fn unused(db: &Connection) -> Result<Vec<Self>, StoreError>;

    /// The lock under which one of this name is made.
    fn making(name: &str) -> Key;
    /// The lock of the files with this digest.
    fn files(digest: &ContentDigest) -> Key;
    fn directory(places: &Places, digest: &ContentDigest) -> OwnDir;

    /// Cause in words when the description in a directory cannot be read.
    fn damage_of(environment: &dyn Environment, directory: &Path) -> Option<String>;
    /// Cause when its row in the store cannot be read.
    fn damage(&self) -> Option<&str>;
    /// Hint for a user whose image or kernel is damaged.
    fn when_damaged(name: &str) -> String;

    /// Removes what was made of its files and belongs to it, before they go.
    fn remove_made_of(&self, control: &Control, op: &Running) -> Result<(), ApiError> {
        let _ = (control, op);
        Ok(())
    }

    fn publishing(&self, op: OperationId, to: PublishImage) -> Plan;
    fn deleting(&self, op: OperationId, files: DeleteFiles) -> Plan;
}

impl Artifact for ImageRecord {
    const WHAT: &'static str = "image";
    const DELETE: OperationKind = OperationKind::DeleteImage;

    fn name(&self) -> &str {
        self.name.as_str()
    }
    fn digest(&self) -> &ContentDigest {
        &self.digest
    }
    fn used_by(vm: &VmRecord) -> &ContentDigest {
        &vm.image_digest
    }
    fn when_taken(name: &str) -> String {
        format!(
            "choose another name, replace the image (--replace), or delete it: banger image delete {name}"
        )
    }
    fn by_name(db: &Connection, name: &str) -> Result<Option<Self>, StoreError> {
        image::by_name(db, name)
    }
    fn list(db: &Connection) -> Result<Vec<Self>, StoreError> {
        image::list(db)
    }
    fn is_named(db: &Connection, digest: &ContentDigest) -> Result<bool, StoreError> {
        image::is_named(db, digest)
    }
    fn unused(db: &Connection) -> Result<Vec<Self>, StoreError> {
        plans::superseded(db)
    }
    fn making(name: &str) -> Key {
        Key::Image(name.to_owned())
    }
    fn files(digest: &ContentDigest) -> Key {
        Key::ImageFiles(*digest)
    }
    fn directory(places: &Places, digest: &ContentDigest) -> OwnDir {
        places.image(digest)
    }
    fn damage_of(environment: &dyn Environment, directory: &Path) -> Option<String> {
        environment.image_damage(directory)
    }
    fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }
    fn when_damaged(name: &str) -> String {
        format!(
            "make it anew (banger image build, pull or register with --replace), or delete it: banger image delete {name}"
        )
    }
    fn publishing(&self, op: OperationId, to: PublishImage) -> Plan {
        plans::publish_image(op, self.clone(), to)
    }
    fn deleting(&self, op: OperationId, files: DeleteFiles) -> Plan {
        plans::delete_image(op, self, files)
    }
}

impl Artifact for KernelRecord {
    const WHAT: &'static str = "kernel";
    const DELETE: OperationKind = OperationKind::DeleteKernel;

    fn name(&self) -> &str {
        self.name.as_str()
    }
    fn digest(&self) -> &ContentDigest {
        &self.digest
    }
    fn used_by(vm: &VmRecord) -> &ContentDigest {
        &vm.kernel_digest
    }
    fn when_taken(name: &str) -> String {
        format!("choose another name, or delete the kernel: banger kernel delete {name}")
    }
    fn by_name(db: &Connection, name: &str) -> Result<Option<Self>, StoreError> {
        kernel::by_name(db, name)
    }
    fn list(db: &Connection) -> Result<Vec<Self>, StoreError> {
        kernel::list(db)
    }
    fn is_named(db: &Connection, digest: &ContentDigest) -> Result<bool, StoreError> {
        kernel::is_named(db, digest)
    }
    fn unused(db: &Connection) -> Result<Vec<Self>, StoreError> {
        plans::unused_of_roots(db)
    }
    fn making(name: &str) -> Key {
        Key::Kernel(name.to_owned())
    }
    fn files(digest: &ContentDigest) -> Key {
        Key::KernelFiles(*digest)
    }
    fn directory(places: &Places, digest: &ContentDigest) -> OwnDir {
        places.kernel(digest)
    }
    fn damage_of(environment: &dyn Environment, directory: &Path) -> Option<String> {
        let read = environment.guest_modules(directory);
        read.err().map(|error| error.message)
    }
    fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }
    fn when_damaged(name: &str) -> String {
        format!("delete it (banger kernel delete {name}) and import it again: banger kernel import")
    }
    fn remove_made_of(&self, control: &Control, op: &Running) -> Result<(), ApiError> {
        template::remove_of_kernel(control, op, &self.digest)
    }
    fn publishing(&self, op: OperationId, to: PublishImage) -> Plan {
        plans::publish_kernel(op, self.clone(), to)
    }
    fn deleting(&self, op: OperationId, files: DeleteFiles) -> Plan {
        plans::delete_kernel(op, self, files)
    }
}

/// Damage of an image or kernel, as users see it: its row or its description cannot be read.
pub(crate) fn damage<A: Artifact>(control: &Control, record: &A) -> Option<String> {
    damage_as_read(record, || {
        let directory = A::directory(control.places(), record.digest());
        A::damage_of(control.environment(), &directory)
    })
}

/// The same for a caller that reads the description itself: `unreadable` is the cause when it cannot.
pub(crate) fn damage_as_read<A: Artifact>(
    record: &A,
    unreadable: impl FnOnce() -> Option<String>,
) -> Option<String> {
    match record.damage() {
        Some(why) => Some(damaged(why)),
        None => unreadable().map(|why| format!("its description is damaged: {why}")),
    }
}

/// One that VMs can be made of.
///
/// # Errors
/// `internal` with what is damaged, and what to do.
pub(crate) fn usable<A: Artifact>(control: &Control, record: A) -> Result<A, ApiError> {
    match damage(control, &record) {
        None => Ok(record),
        Some(why) => {
            let (what, name) = (A::WHAT, record.name());
            let message = format!("{what} \"{name}\" cannot be used: {why}");
            Err(ApiError::new(ErrorCode::Internal, message).hint(A::when_damaged(name)))
        }
    }
}

/// Refuses a name that is taken.
///
/// # Errors
/// `name_taken`.
pub(crate) fn free<A: Artifact>(control: &Control, name: &str) -> Result<(), ApiError> {
    match control.read(|db| A::by_name(db, name))? {
        None => Ok(()),
        Some(_) => Err(ApiError::new(
            ErrorCode::NameTaken,
            format!("{} name \"{name}\" is taken", A::WHAT),
        )
        .hint(A::when_taken(name))),
    }
}

/// The image or kernel of this name; `make` makes it when it is absent. Two operations that need it make it only once:
/// the lock of its name is among `locked`, or this call waits for it.
///
/// # Errors
/// Those of making it; `cancelled`.
pub(crate) fn ensure<A: Artifact>(
    control: &Control,
    op: &Running,
    name: &str,
    locked: &Locked,
    make: impl FnOnce() -> Result<A, ApiError>,
) -> Result<A, ApiError> {
    let there = || control.read(|db| A::by_name(db, name));
    if let Some(record) = there()? {
        return Ok(record);
    }
    let key = A::making(name);
    let _making: Option<Held> = match locked.has(&key) {
        true => None,
        false => Some(control.operations().hold(op, key)?),
    };
    match there()? {
        Some(record) => Ok(record),
        None => make(),
    }
}

/// Moves the files made in `staging` to their place and records their name. The lock of the files keeps out other
/// operations that add or remove the same content.
///
/// # Errors
/// `name_taken` and those of the host.
pub(crate) fn publish<A: Artifact>(
    control: &Control,
    op: &Running,
    record: &A,
    staging: &OwnDir,
) -> Result<(), ApiError> {
    let digest = record.digest();
    let _files = control.operations().hold(op, A::files(digest))?;
    let to = PublishImage {
        staging: staging.clone(),
        target: A::directory(control.places(), digest),
        exists: control.read(|db| A::is_named(db, digest))?,
    };
    control.run(record.publishing(op.id, to), op)
}

/// Removes an image or a kernel, unless VMs use it.
///
/// # Errors
/// `in_use` with the VMs.
pub(crate) fn delete<A: Artifact>(control: &Control, record: A) -> Result<Accepted, ApiError> {
    unused(control, &record)?;
    let asked = Asked::files(A::DELETE, vec![A::files(record.digest())]);
    let task = control.clone();
    let running = control.operations().spawn(asked, move |op, _locked| {
        unused(&task, &record)?;
        remove(&task, op, &record)
    })?;
    Ok(running.accepted(None))
}

/// Removes a name, and its files with the last one. Their lock is held.
///
/// # Errors
/// Those of the host.
pub(crate) fn remove<A: Artifact>(
    control: &Control,
    op: &Arc<Running>,
    record: &A,
) -> Result<(), ApiError> {
    let directory = own_directory(control, record)?;
    if directory.is_some() {
        record.remove_made_of(control, op)?;
    }
    control.run(record.deleting(op.id, DeleteFiles { directory }), op)
}

/// Removes those that were there for VMs alone and have none any more. Upkeep retries the ones that cannot be removed now.
pub(crate) fn forget_unused<A: Artifact>(control: &Control, op: &Arc<Running>) {
    if let Err(error) = try_forget::<A>(control, op) {
        let what = A::WHAT;
        tracing::warn!(%error, "{what} that nobody needs any more cannot be removed yet");
    }
}

fn try_forget<A: Artifact>(control: &Control, op: &Arc<Running>) -> Result<(), ApiError> {
    for record in control.read(A::unused)? {
        let _files = control.operations().hold(op, A::files(record.digest()))?;
        remove(control, op, &record)?;
    }
    Ok(())
}

/// The same in an operation of its own, when there are any. What is not known cannot be looked for: it is told.
pub(crate) fn forget_left_over<A: Artifact>(control: &Control) {
    let forget = || -> Result<(), ApiError> {
        if control.read(A::unused)?.is_empty() {
            return Ok(());
        }
        let task = control.clone();
        let asked = Asked::files(A::DELETE, Vec::new());
        let forget = move |op: &Arc<Running>, _locked| try_forget::<A>(&task, op);
        control.operations().spawn(asked, forget).map(drop)
    };
    if let Err(error) = forget() {
        let what = A::WHAT;
        tracing::warn!(%error, "cannot look for {what}s that nobody needs");
    }
}

/// The directory of the files, when no other name stands for them.
///
/// # Errors
/// Only the store's.
pub(crate) fn own_directory<A: Artifact>(
    control: &Control,
    record: &A,
) -> Result<Option<OwnDir>, ApiError> {
    let same = |other: &A| other.digest() == record.digest() && other.name() != record.name();
    let shared = control.read(A::list)?.iter().any(same);
    Ok((!shared).then(|| A::directory(control.places(), record.digest())))
}

/// Names of the VMs that use it.
pub(crate) fn users<A: Artifact>(record: &A, vms: &[VmRecord]) -> Vec<String> {
    vms.iter()
        .filter(|vm| A::used_by(vm) == record.digest())
        .map(|vm| vm.name.to_string())
        .collect()
}

fn unused<A: Artifact>(control: &Control, record: &A) -> Result<(), ApiError> {
    let users = users(record, &control.read(vm::list)?);
    if users.is_empty() {
        return Ok(());
    }
    let (what, name) = (A::WHAT, record.name());
    let message = format!("{what} \"{name}\" is used by {}", users.join(", "));
    let hint = format!("banger vm delete {} first", users.join(" "));
    Err(ApiError::new(ErrorCode::InUse, message).hint(hint))
}

/// A path that a user gave for this host.
///
/// # Errors
/// `invalid_argument` for one that is not absolute, or not there.
pub(crate) fn existing(control: &Control, what: &str, path: &str) -> Result<PathBuf, ApiError> {
    let invalid = |why: &str| {
        let message = format!("{what} \"{path}\" {why}");
        ApiError::new(ErrorCode::InvalidArgument, message)
    };
    match Path::new(path) {
        path if !path.is_absolute() => Err(invalid("must be an absolute path")),
        path if !control.environment().is_there(path) => {
            Err(invalid("does not exist, or this user cannot see it"))
        }
        path => Ok(path.to_owned()),
    }
}
