//! Templates as they are on the disk.

use banger_api::{ApiError, ContentDigest};
use banger_ops::{OwnDir, TemplateFacts, TemplateFiles};
use banger_store::{Owner, claim, kernel};

use crate::Control;
use crate::operations::timestamp;

/// One template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its key.
    pub key: ContentDigest,
    /// Its facts.
    pub facts: TemplateFacts,
    /// Time at which a VM last woke from it, or of its making, ms since 1970.
    pub used_ms: i64,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
}

/// All templates, the last used first.
///
/// # Errors
/// Their directory cannot be read.
pub fn templates(control: &Control) -> Result<Vec<banger_api::template::Template>, ApiError> {
    let mut all = all(control)?;
    all.sort_by_key(|template| std::cmp::Reverse(template.used_ms));
    shown(control, all)
}

/// Templates as users see them.
pub(super) fn shown(
    control: &Control,
    all: Vec<Template>,
) -> Result<Vec<banger_api::template::Template>, ApiError> {
    let kernels = control.read(kernel::list)?;
    let name = |digest: &ContentDigest| {
        let named = kernels.iter().find(|kernel| kernel.digest == *digest);
        named.map_or_else(|| digest.to_string(), |kernel| kernel.name.to_string())
    };
    let shown = |template: Template| banger_api::template::Template {
        key: template.key.to_string(),
        kernel: name(&template.facts.kernel),
        vcpu: template.facts.vcpu,
        memory_mib: template.facts.memory_mib,
        bytes: template.bytes,
        created_at: timestamp(template.facts.made_ms),
        used_at: timestamp(template.used_ms),
    };
    Ok(all.into_iter().map(shown).collect())
}

/// All templates whose description can be read.
pub(super) fn all(control: &Control) -> Result<Vec<Template>, ApiError> {
    let parent = &control.places().parents().templates;
    let entries = control.runner().host().list_dir(parent)?;
    let key = |path: &std::path::PathBuf| path.file_name()?.to_str()?.parse().ok();
    let keys = entries.iter().filter_map(key);
    let environment = control.environment();
    let found = keys.filter_map(|key: ContentDigest| {
        let files = TemplateFiles {
            dir: control.places().template(&key),
        };
        environment.template(&key, &files)
    });
    Ok(found.collect())
}

/// Keys of the templates that belong to a kernel, by what the store says.
pub(super) fn keys_of_kernel(
    control: &Control,
    kernel: &ContentDigest,
) -> Result<Vec<ContentDigest>, ApiError> {
    let owner = Owner::Kernel(*kernel);
    let claims = control.read(|db| claim::of_owner(db, &owner))?;
    let parent = &control.places().parents().templates;
    let key = |dir: OwnDir| match dir.parent() == Some(parent) {
        true => dir.file_name()?.to_str()?.parse().ok(),
        false => None,
    };
    let dirs = claims.iter().filter_map(|one| OwnDir::of_claim(one).ok());
    Ok(dirs.filter_map(key).collect())
}
