//! The way of a start: from a template, or by a boot.

use banger_api::{ApiError, ContentDigest};
use banger_engine::Memory;
use banger_ops::plans::StartVm;
use banger_ops::{TemplateFiles, VmFiles};
use banger_store::{VmRecord, image};

use super::{Wanted, key, remove};
use crate::Control;

/// Time for a guest that wakes, in ms. Alone it needs half a second; ten at once on two cores need six each, in emulation.
pub(super) const WAKE_DEADLINE_MS: u64 = 30_000;
/// Word for an image without an init of its own: its guests need no more than a booted kernel.
const NO_INIT: &str = "none";

/// Template of one start.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Its key.
    pub(crate) key: ContentDigest,
    /// It is there.
    pub(crate) files: Option<TemplateFiles>,
}

/// The template for a start of `vm`, made already or not; `None` when it boots in any case. What cannot be found out is as if there
/// were none.
pub(crate) fn template_for(control: &Control, vm: &VmRecord, start: &StartVm) -> Option<Found> {
    look_for(control, vm, start).unwrap_or_else(|error| {
        tracing::warn!(vm = %vm.name, %error, "cannot look for a template");
        None
    })
}

fn look_for(control: &Control, vm: &VmRecord, start: &StartVm) -> Result<Option<Found>, ApiError> {
    if !control.environment().templates().enabled || !is_without_init(control, vm)? {
        return Ok(None);
    }
    let Some(key) = key::of_spec(control, &vm.kernel_digest, &start.spec)? else {
        return Ok(None);
    };
    let files = TemplateFiles {
        dir: control.places().template(&key),
    };
    let is_there = control.runner().host().exists(&files.state())?;
    Ok(Some(Found {
        key,
        files: is_there.then_some(files),
    }))
}

/// The same start from a template.
pub(crate) fn woken(start: &StartVm, files: &VmFiles, template: TemplateFiles) -> StartVm {
    let mut woken = start.clone();
    woken.spec.memory = Memory::Saved {
        file: files.woken_memory(),
        state: template.state(),
    };
    woken.setup.woken = true;
    woken.boot_deadline_ms = WAKE_DEADLINE_MS;
    woken.template = Some(template);
    woken
}

fn is_without_init(control: &Control, vm: &VmRecord) -> Result<bool, ApiError> {
    let image = control.read(|db| image::by_name(db, vm.image.as_str()))?;
    let same = image.filter(|image| image.digest == vm.image_digest);
    Ok(same.is_some_and(|image| image.init == NO_INIT))
}

/// Removes a template, beside the caller: a VM booted that did not wake from it.
pub(crate) fn discard(control: &Control, kernel: ContentDigest, key: ContentDigest) {
    if let Err(error) = remove::discard(control, kernel, key) {
        tracing::warn!(%error, template = %key, "a template that does not wake cannot be removed");
    }
}

/// Has the template made from which a VM that has booted could have woken, where there was none.
pub(crate) fn want(control: &Control, found: Option<Found>, vm: &VmRecord, start: StartVm) {
    if let Some(Found { key, files: None }) = found {
        let kernel = vm.kernel_digest;
        let wanted = Wanted { key, kernel, start };
        control.environment().template_is_wanted(control, wanted);
    }
}
