//! Ways back, and copies: checkpoints and forks.

use banger_api::checkpoint::{Checkpoint, CreateCheckpoint, ForkVm, RestoreCheckpoint};
use banger_client::Client;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{tool, tool_router};
use serde::{Deserialize, Serialize};

use super::machines::{Machine, Which, finished, machine_after, parsed};
use crate::answer::{Answer, json};
use crate::host::Host;
use crate::ownership;
use crate::policy::Refusal;
use crate::server::Server;

/// A checkpoint to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keep {
    /// The VM: its name or its id.
    vm: String,
    /// Name of the checkpoint. Absent: a generated one.
    name: Option<String>,
}

/// A checkpoint to go back to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoBack {
    /// The VM: its name or its id.
    vm: String,
    /// The checkpoint: its name or its id.
    checkpoint: String,
    /// True to lose the disks as they are now. Absent: it is made a checkpoint first.
    #[serde(default)]
    discard_current: bool,
}

/// Copies to make of a VM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fork {
    /// The VM: its name or its id.
    vm: String,
    /// Number of copies. Absent: one.
    count: Option<u32>,
    /// Name of the one, or of several with numbers behind it. Absent: the VM's.
    name: Option<String>,
    /// The checkpoint from which they go on. Absent: the disks as they are now.
    checkpoint: Option<String>,
}

/// A checkpoint as a model needs it.
#[derive(Debug, Serialize)]
struct Point {
    name: String,
    id: String,
    current: bool,
    created_at: String,
}

impl From<Checkpoint> for Point {
    fn from(checkpoint: Checkpoint) -> Self {
        Self {
            name: checkpoint.name.to_string(),
            id: checkpoint.id.to_string(),
            current: checkpoint.current,
            created_at: checkpoint.created_at.to_string(),
        }
    }
}

#[tool_router(router = checkpoints, vis = "pub(crate)")]
impl<H: Host + 'static> Server<H> {
    #[tool(
        name = "vm_checkpoint",
        description = "Keep a VM's disks as they are now, to go back to with vm_restore. Takes next to no space or time."
    )]
    async fn keep(&self, Parameters(wish): Parameters<Keep>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&wish.vm).await?;
        let create = CreateCheckpoint {
            name: wish.name.map(|name| parsed("name", &name)).transpose()?,
        };
        let id = vm.id.to_string();
        let accepted = client.create_checkpoint(&id, &create).await?;
        finished(&client, accepted.operation).await?;
        points(&client, &id).await
    }

    #[tool(
        name = "vm_checkpoints",
        description = "List the checkpoints of a VM.",
        annotations(read_only_hint = true)
    )]
    async fn kept(&self, Parameters(which): Parameters<Which>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&which.vm).await?;
        points(&client, &vm.id.to_string()).await
    }

    #[tool(
        name = "vm_restore",
        description = "Let a VM's disks go back to a checkpoint, and boot it again if it ran."
    )]
    async fn go_back(&self, Parameters(wish): Parameters<GoBack>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&wish.vm).await?;
        let restore = RestoreCheckpoint {
            discard_current: wish.discard_current,
        };
        let id = vm.id.to_string();
        let accepted = client
            .restore_checkpoint(&id, &wish.checkpoint, &restore)
            .await?;
        machine_after(&client, accepted.operation, vm.id).await
    }

    #[tool(
        name = "vm_fork",
        description = "Make copies of a VM's disks, each a VM of its own that boots: several tries from one state."
    )]
    async fn fork(&self, Parameters(wish): Parameters<Fork>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&wish.vm).await?;
        let mine = ownership::all(&client, &self.policy).await?;
        let more = usize::try_from(wish.count.unwrap_or(1)).unwrap_or(usize::MAX);
        if mine.len().saturating_add(more) > self.policy.vms {
            return Err(Refusal::Vms(self.policy.vms).into());
        }
        let fork = ForkVm {
            checkpoint: wish.checkpoint,
            count: wish.count,
            name: wish.name.map(|name| parsed("name", &name)).transpose()?,
        };
        let accepted = client.fork_vm(&vm.id.to_string(), &fork).await?;
        finished(&client, accepted.operation).await?;
        let mut made = Vec::new();
        for vm in accepted.forks {
            let id = vm.id.to_string();
            let started = client.start_vm(&id).await?;
            finished(&client, started.operation).await?;
            made.push(Machine::from(client.vm(&id).await?));
        }
        json(&serde_json::json!({ "vms": made }))
    }
}

/// The checkpoints of a VM.
async fn points(client: &Client, vm: &str) -> Answer {
    let points = client.checkpoints(vm).await?;
    let points: Vec<Point> = points.into_iter().map(Point::from).collect();
    json(&serde_json::json!({ "checkpoints": points }))
}
