//! Work that is in a VM alone, before the VM goes: named, and kept where the user wants it.
//!
//! ```text
//! anything not as it was sent? ── no ──► nothing is said
//!        └─ yes ─► --export FILE: written there
//!                  at a terminal: asked; without a yes it is written to a file here
//!                  elsewhere: named, and the run ends
//! ```

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_api::vm::Vm;
use banger_workspace::patch::{Approval, PatchLimits};
use banger_workspace::{Filtered, Head};

use super::export::{Against, Exported, listed, some_paths};
use super::{changes, record, written};
use crate::context::Context;
use crate::failure::Failure;

/// Names of files that are tried until one is free.
const TRIES: usize = 1000;

/// Says what of a workspace is in its VM alone, and keeps it.
/// A user who left is not asked.
pub async fn keep(vm: &Vm, head: &Head, export: Option<&Path>, user_left: bool, context: &Context) {
    if let Err(failure) = kept(vm, head, (export, user_left), context).await
        && let Some(error) = failure.error()
    {
        context.output.warn(&format!(
            "cannot tell whether VM {} has work that is nowhere else: {error}",
            vm.name
        ));
    }
}

async fn kept(
    vm: &Vm,
    head: &Head,
    (export, user_left): (Option<&Path>, bool),
    context: &Context,
) -> Result<(), Failure> {
    let reference = vm.id.to_string();
    let all = record::all(&reference, context).await?;
    let here = all
        .iter()
        .find(|kept| kept.head.guest_path == head.guest_path);
    let Some(here) = here else { return Ok(()) };
    let record = Arc::new(record::whole(&reference, here, context).await?);
    let limits = PatchLimits::default();
    if !changes::any(&reference, &record, limits, context).await? {
        return Ok(());
    }
    let against = Against::default();
    let exported = against
        .patch_of(&reference, record, Filtered::Cleaned, context)
        .await?;
    if exported.patch.files.is_empty() && exported.left_behind.is_empty() {
        return Ok(());
    }
    say(vm, &exported, context);
    let Some(path) = place(vm, &exported, (export, user_left), context) else {
        return Ok(());
    };
    written::whole(&path, &exported.bytes)?;
    context.output.note(&format!(
        "{} has the changes: git apply takes it",
        path.display()
    ));
    let look = exported.patch.unapproved(&Approval::default());
    if !look.is_empty() {
        context
            .output
            .warn(&format!("look at these first: {}", listed(&look)));
    }
    Ok(())
}

/// Names the work.
fn say(vm: &Vm, exported: &Exported, context: &Context) {
    let (name, files) = (&vm.name, &exported.patch.files);
    if !files.is_empty() {
        let paths = files.iter().map(|file| &file.path[..]);
        context.output.warn(&format!(
            "changed in VM {name} since it was sent, and not here: {}",
            some_paths(paths)
        ));
    }
    written::say_left_behind(vm, exported, context);
}

/// Target of the changes; `None`: they go with the VM.
fn place(
    vm: &Vm,
    exported: &Exported,
    (export, user_left): (Option<&Path>, bool),
    context: &Context,
) -> Option<PathBuf> {
    if let Some(path) = export {
        return Some(path.to_owned());
    }
    let can_ask = std::io::stdin().is_terminal() && context.output.stderr_is_terminal();
    if !can_ask || user_left || context.output.json() {
        context.output.warn(&format!(
            "VM {} is deleted with it; run --export FILE keeps such changes as a patch",
            vm.name
        ));
        return None;
    }
    let question = format!("Delete VM {} and these changes?", vm.name);
    if context.output.confirms(&question) || exported.patch.files.is_empty() {
        return None;
    }
    let mut names = (0..TRIES).map(|n| match n {
        0 => format!("{}.patch", vm.name),
        n => format!("{}-{n}.patch", vm.name),
    });
    names
        .find(|name| !Path::new(name).exists())
        .map(PathBuf::from)
}
