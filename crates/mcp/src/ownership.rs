//! VMs that an agent sees: those that carry its policy's label.

use banger_api::vm::Vm;
use banger_api::{ApiError, ErrorCode};
use banger_client::Client;

use crate::answer::ToolError;
use crate::policy::Policy;

/// VMs of the policy.
pub(crate) async fn all(client: &Client, policy: &Policy) -> Result<Vec<Vm>, ToolError> {
    Ok(client.vms_with(&[policy.filter()?]).await?)
}

/// The VM of this name or id, when it is one of the policy's. For others the answer is the same as for none.
pub(crate) async fn find(client: &Client, policy: &Policy, vm: &str) -> Result<Vm, ToolError> {
    let filter = policy.filter()?;
    let found = match client.vm(vm).await {
        Ok(found) => Some(found),
        Err(banger_client::ClientError::Api(error)) if error.code == ErrorCode::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    found
        .filter(|found| filter.selects(&found.labels))
        .ok_or_else(|| {
            ApiError::new(
                ErrorCode::NotFound,
                format!("no VM of yours is called \"{vm}\""),
            )
            .hint("vm_list has them; vm_create makes one")
            .into()
        })
}
