//! Secrets that VMs use without having them. A record says which and where; the values are kept by the surroundings.
//!
//! ```text
//! change ─► checked as a whole ─► stored with the VM's rules ─► its network process gets the values, before this is answered
//! ```

use banger_api::{ApiError, ErrorCode, VmId};
use banger_egress::Egress;
use banger_secret::{SecretUse, USES_MAX};
use banger_store::{VmRecord, vm};

use super::defaults::OWN_STACK;
use crate::Control;

/// Uses from their texts; the later one of two of one secret counts.
///
/// # Errors
/// `invalid_argument`: a text is none.
pub(super) fn uses_of(texts: &[String]) -> Result<Vec<SecretUse>, ApiError> {
    let mut uses = Vec::new();
    for text in texts {
        let one: SecretUse = text.parse().map_err(|error| {
            let message = format!("secret \"{text}\": {error}");
            ApiError::new(ErrorCode::InvalidArgument, message)
                .hint("a secret's use is NAME=HOST[:PORT][:FORM], like openai=api.openai.com")
        })?;
        put(&mut uses, one);
    }
    Ok(uses)
}

/// Adds a use in the place of an earlier one of the same secret.
pub(super) fn put(uses: &mut Vec<SecretUse>, one: SecretUse) {
    uses.retain(|other| other.name != one.name);
    uses.push(one);
}

/// Refuses secrets that are new to a record and cannot be used.
///
/// # Errors
/// `not_found`: there is no such secret; `invalid_argument`: nothing could hold them, or nothing be reached with them.
pub(super) fn check(
    control: &Control,
    record: &VmRecord,
    new: &[SecretUse],
) -> Result<(), ApiError> {
    let Some(first) = new.first() else {
        return Ok(());
    };
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidArgument, message);
    if !record.has_net_process() {
        let message = format!(
            "VM \"{}\" cannot use secret \"{}\": its network is not banger's own",
            record.name, first.name
        );
        return Err(invalid(message).hint(OWN_STACK));
    }
    if record.egress == Egress::None {
        let message = format!(
            "VM \"{}\" cannot use secret \"{}\": it may reach nothing (egress none)",
            record.name, first.name
        );
        return Err(
            invalid(message).hint("--egress list lets it reach the hosts of its secrets alone")
        );
    }
    if record.network.secrets.len() > USES_MAX {
        return Err(invalid(format!("a VM uses {USES_MAX} secrets at most")));
    }
    let unknown = new
        .iter()
        .map(|one| match control.environment().has_secret(&one.name)? {
            true => Ok(None),
            false => Ok(Some(&one.name)),
        })
        .collect::<Result<Vec<_>, ApiError>>()?;
    match unknown.into_iter().flatten().next() {
        None => Ok(()),
        Some(name) => {
            let message = format!("there is no secret \"{name}\"");
            Err(ApiError::new(ErrorCode::NotFound, message).hint(format!(
                "banger secret set {name} keeps one, read from standard input"
            )))
        }
    }
}

/// Gives the process of a VM, when one runs, the secrets of its record with their present values.
///
/// # Errors
/// The process does not take them.
pub fn give_secrets(control: &Control, id: VmId) -> Result<(), ApiError> {
    let Some(record) = control.read(|db| vm::by_id(db, id))? else {
        return Ok(());
    };
    match &record.network.process {
        Some(net) => control
            .environment()
            .set_secrets(net, &record.network.secrets),
        None => Ok(()),
    }
}
