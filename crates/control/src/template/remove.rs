//! Removing templates: those that do not wake, that nobody uses, that are too many, or whose kernel goes.

use std::sync::Arc;

use banger_api::operation::OperationKind;
use banger_api::template::PrunedTemplates;
use banger_api::{ApiError, ContentDigest};
use banger_ops::plans;

use super::view::{self, Template};
use crate::Control;
use crate::locks::Key;
use crate::operations::{Asked, Running};

/// Time after which a template goes that nobody has used, in ms: 14 days.
const UNUSED_MS: i64 = 14 * 24 * 3_600 * 1_000;

/// Removes one template, in an operation of its own.
pub(super) fn discard(
    control: &Control,
    kernel: ContentDigest,
    key: ContentDigest,
) -> Result<(), ApiError> {
    let asked = Asked::files(
        OperationKind::DeleteTemplate,
        vec![Key::KernelFiles(kernel)],
    );
    let task = control.clone();
    let work = move |op: &Arc<Running>, _locked| remove(&task, op, kernel, &key);
    control.operations().spawn(asked, work).map(drop)
}

/// Removes one template, in an operation that has the lock of its kernel's files.
pub(super) fn remove(
    control: &Control,
    op: &Running,
    kernel: ContentDigest,
    key: &ContentDigest,
) -> Result<(), ApiError> {
    let dir = control.places().template(key);
    if !control.runner().host().exists(&dir)? {
        return Ok(());
    }
    control.run(plans::delete_template(op.id, kernel, dir), op)
}

/// Removes the least recently used templates, until the others fit the quota.
pub(super) fn keep_quota(control: &Control, op: &Running) -> Result<(), ApiError> {
    let quota = control.environment().templates().quota_bytes;
    for template in beyond(view::all(control)?, quota) {
        remove(control, op, template.facts.kernel, &template.key)?;
    }
    Ok(())
}

/// Those that do not fit, the newest being kept first.
fn beyond(mut all: Vec<Template>, quota_bytes: u64) -> Vec<Template> {
    all.sort_by_key(|template| std::cmp::Reverse(template.used_ms));
    let mut bytes = 0_u64;
    all.retain(|template| {
        bytes = bytes.saturating_add(template.bytes);
        bytes > quota_bytes
    });
    all
}

/// Removes the templates of a kernel that is about to go.
///
/// # Errors
/// The host's.
pub(crate) fn remove_of_kernel(
    control: &Control,
    op: &Running,
    kernel: &ContentDigest,
) -> Result<(), ApiError> {
    for key in view::keys_of_kernel(control, kernel)? {
        remove(control, op, *kernel, &key)?;
    }
    Ok(())
}

/// Removes all templates, unless it is a dry run.
///
/// # Errors
/// Their directory cannot be read; the store's.
pub fn prune(control: &Control, dry_run: bool) -> Result<PrunedTemplates, ApiError> {
    let going = view::all(control)?;
    let operation = match dry_run {
        true => None,
        false => begin(control, going.clone())?,
    };
    Ok(PrunedTemplates {
        freed_bytes: going.iter().map(|template| template.bytes).sum(),
        templates: view::shown(control, going)?,
        operations: operation.map(|running| running.id).into_iter().collect(),
    })
}

/// Removes these templates in an operation.
fn begin(control: &Control, going: Vec<Template>) -> Result<Option<Arc<Running>>, ApiError> {
    if going.is_empty() {
        return Ok(None);
    }
    let mut kernels: Vec<_> = going.iter().map(|one| one.facts.kernel).collect();
    kernels.sort_unstable_by_key(ToString::to_string);
    kernels.dedup();
    let keys = kernels.into_iter().map(Key::KernelFiles).collect();
    let asked = Asked::files(OperationKind::DeleteTemplate, keys);
    let task = control.clone();
    let running = control.operations().spawn(asked, move |op, _locked| {
        for template in going {
            remove(&task, op, template.facts.kernel, &template.key)?;
        }
        Ok(())
    })?;
    Ok(Some(running))
}

/// Removes templates that were not used for long. For upkeep.
pub fn sweep(control: &Control) {
    let before = control.now_ms() - UNUSED_MS;
    let going = view::all(control).and_then(|mut all| {
        all.retain(|template| template.used_ms <= before);
        begin(control, all)
    });
    if let Err(error) = going {
        tracing::warn!(%error, "cannot look for templates that nobody uses");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use banger_ops::TemplateFacts;

    use super::*;

    fn template(number: u8, used_ms: i64, bytes: u64) -> Template {
        let digest = |byte: u8| format!("{byte:02x}").repeat(32).parse().unwrap();
        Template {
            key: digest(number),
            facts: TemplateFacts {
                kernel: digest(0),
                vcpu: 1,
                memory_mib: 512,
                made_ms: 0,
            },
            used_ms,
            bytes,
        }
    }

    #[test]
    fn the_least_recently_used_go_when_all_do_not_fit() {
        let all = vec![
            template(1, 10, 40),
            template(2, 30, 40),
            template(3, 20, 40),
        ];
        let going = |quota| -> Vec<i64> {
            let going = beyond(all.clone(), quota);
            going.iter().map(|template| template.used_ms).collect()
        };
        assert_eq!(going(120), Vec::<i64>::new());
        assert_eq!(going(119), [10]);
        assert_eq!(going(50), [20, 10]);
        assert_eq!(going(0), [30, 20, 10]);
    }
}
