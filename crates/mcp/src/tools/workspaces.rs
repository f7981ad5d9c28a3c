//! The shared repository: sent to a VM, and what changed there.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{tool, tool_router};

use super::machines::Which;
use crate::answer::{Answer, Ends, json};
use crate::host::{Host, HostPatch};
use crate::policy::Refusal;
use crate::server::Server;

#[tool_router(router = workspaces, vis = "pub(crate)")]
impl<H: Host + 'static> Server<H> {
    #[tool(
        name = "workspace_send",
        description = "Send the shared repository to a VM, or what changed in it since. Returns its path there. Work that was done \
                       in the VM is never written over."
    )]
    async fn send(&self, Parameters(which): Parameters<Which>) -> Answer {
        let repository = self.policy.workspace()?.to_owned();
        let (_permit, _client, vm) = self.begin_with(&which.vm).await?;
        let path = self.host.send(&vm, &repository).await?;
        json(&serde_json::json!({ "path": path }))
    }

    #[tool(
        name = "workspace_diff",
        description = "The changes in a VM's copy of the shared repository, as a patch.",
        annotations(read_only_hint = true)
    )]
    async fn diff(&self, Parameters(which): Parameters<Which>) -> Answer {
        self.policy.workspace()?;
        let (_permit, _client, vm) = self.begin_with(&which.vm).await?;
        let patch = self.host.changes(&vm).await?;
        let mut text = Ends::default();
        text.push(&patch.bytes);
        let told = Told {
            truncated: text.is_cut(),
            patch: Some(text.text()),
            ..Told::from(patch)
        };
        json(&told)
    }

    #[tool(
        name = "workspace_apply",
        description = "Apply the changes in a VM's copy to the shared repository on the host: all or nothing. New programs, links, \
                       and files that other programs or agents obey are refused: the user exports those."
    )]
    async fn apply(&self, Parameters(which): Parameters<Which>) -> Answer {
        self.policy.workspace()?;
        if !self.policy.apply {
            return Err(Refusal::NoApply.into());
        }
        let (_permit, _client, vm) = self.begin_with(&which.vm).await?;
        json(&Told::from(self.host.apply(&vm).await?))
    }
}

/// A patch as a model gets it.
#[derive(Debug, serde::Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    /// The middle of the patch is missing.
    truncated: bool,
    files: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs_approval: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_behind: Vec<String>,
}

impl From<HostPatch> for Told {
    fn from(patch: HostPatch) -> Self {
        Self {
            patch: None,
            truncated: false,
            files: patch.files,
            needs_approval: patch.needs_approval,
            left_behind: patch.left_behind,
        }
    }
}
