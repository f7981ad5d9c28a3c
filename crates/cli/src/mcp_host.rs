//! The part of this program that an MCP server needs: a daemon, and the way of repositories into guests and back.

use std::path::Path;
use std::sync::Arc;

use banger_api::vm::{NetMode, Vm};
use banger_api::{ApiError, ErrorCode};
use banger_client::Client;
use banger_mcp::{Host, HostPatch};
use banger_workspace::Filtered;
use banger_workspace::patch::Approval;

use crate::commands::vm::workspace::export::applied;
use crate::context::Context;
use crate::failure::Failure;
use crate::workspace::{
    Against, Exported, Outgoing, RepositoryFlags, SourceFlags, needs_consent, reason, shown,
};

/// This program around an MCP server.
#[derive(Debug)]
pub struct McpHost {
    context: Context,
}

impl McpHost {
    /// With a context that prints nothing.
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    async fn export(&self, vm: &Vm) -> Result<Exported, Failure> {
        let against = Against::default();
        let reference = vm.id.to_string();
        against
            .patch(&reference, Filtered::AsSent, &self.context)
            .await
    }

    async fn send_to(&self, vm: &Vm, repository: &Path) -> Result<String, Failure> {
        let context = &self.context;
        let survey = SourceFlags::default().survey(repository, context).await?;
        let mut outgoing = Outgoing::new(Arc::clone(&survey), None)?;
        let requests = RepositoryFlags::default()
            .requests(&survey, outgoing.dest(), context)
            .await?;
        outgoing.with(&requests);
        let reaches_out = requests.reaches_out(vm.net, vm.egress, context);
        if vm.net == NetMode::None {
            requests.no_ports(context);
        }
        let sent = outgoing.update(&vm.id.to_string(), false, context).await?;
        requests.set_up(vm, &sent, reaches_out, context).await?;
        Ok(outgoing.dest().to_owned())
    }
}

impl Host for McpHost {
    async fn client(&self) -> Result<Client, ApiError> {
        let session = &self.context.session;
        let status = session.read(|client| async move { client.daemon_status().await });
        status.await.map_err(one)?;
        Ok(session.client().clone())
    }

    async fn send(&self, vm: &Vm, repository: &Path) -> Result<String, ApiError> {
        self.send_to(vm, repository).await.map_err(one)
    }

    async fn changes(&self, vm: &Vm) -> Result<HostPatch, ApiError> {
        let exported = self.export(vm).await.map_err(one)?;
        Ok(told(&exported))
    }

    async fn apply(&self, vm: &Vm) -> Result<HostPatch, ApiError> {
        let exported = self.export(vm).await.map_err(one)?;
        needs_consent(&exported.patch, &Approval::default()).map_err(one)?;
        let patch = told(&exported);
        applied(exported).await.map_err(one)?;
        Ok(patch)
    }
}

fn told(exported: &Exported) -> HostPatch {
    let patch = &exported.patch;
    let unapproved = patch.unapproved(&Approval::default());
    let unapproved = unapproved.iter();
    HostPatch {
        bytes: exported.bytes.clone(),
        files: patch.files.iter().map(|file| shown(&file.path)).collect(),
        needs_approval: unapproved
            .map(|(file, why)| format!("{} ({})", shown(&file.path), reason(*why)))
            .collect(),
        left_behind: exported
            .left_behind
            .iter()
            .map(|left| shown(&left.path))
            .collect(),
    }
}

/// The first error of a failure.
fn one(failure: Failure) -> ApiError {
    match failure {
        Failure::Errors { errors, .. } => errors.into_iter().next(),
        Failure::OutputClosed => None,
    }
    .unwrap_or_else(|| ApiError::new(ErrorCode::Internal, "the output is closed"))
}
