//! The key of a template: a digest of all that must be the same in the machine in which its guest goes on.

use banger_api::{ApiError, ContentDigest};
use banger_engine::VmmSpec;
use sha2::{Digest, Sha256};

use crate::Control;

/// Raised when templates of older builds may not be used any more, whatever else is the same.
const FORMAT: u32 = 1;

/// The user's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateRules {
    /// VMs wake from templates, and templates are made.
    pub enabled: bool,
    /// Bytes on the disk of all together; the least recently used go first.
    pub quota_bytes: u64,
}

impl TemplateRules {
    /// No templates.
    pub const OFF: Self = Self {
        enabled: false,
        quota_bytes: 0,
    };
}

/// Key of the template from which a VM with this spec could wake; `None` when guests like it are not saved here. The spec names the
/// kernel and the initramfs, and with it the agent, by files whose names are digests of what they hold.
///
/// # Errors
/// The engine's, for a spec that it cannot use.
pub(super) fn of_spec(
    control: &Control,
    kernel: &ContentDigest,
    spec: &VmmSpec,
) -> Result<Option<ContentDigest>, ApiError> {
    let Some(machine) = control.environment().saved_key(spec)? else {
        return Ok(None);
    };
    let digest = Sha256::new()
        .chain_update(format!("banger template {FORMAT}\n{kernel}\n"))
        .chain_update(machine)
        .finalize();
    Ok(Some(ContentDigest::from(<[u8; 32]>::from(digest))))
}
