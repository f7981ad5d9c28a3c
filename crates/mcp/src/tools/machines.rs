//! Machines: made, listed, stopped, deleted, and their ports.

use banger_api::network::NarrowNetwork;
use banger_api::operation::{EventKind, OperationState};
use banger_api::vm::{CreateVm, Egress, NetMode, StopVm, Vm};
use banger_api::{ApiError, ByteSize, ErrorCode, ImageName, OperationId, VmId};
use banger_client::Client;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{tool, tool_router};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, ToolError, json};
use crate::host::Host;
use crate::ownership;
use crate::policy::Refusal;
use crate::server::Server;

/// Wishes for a VM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    /// Its name: a-z, 0-9 and "-". Absent: a generated one.
    name: Option<String>,
    /// Name of its image. Absent: the one that is configured here.
    image: Option<String>,
    /// Number of virtual CPUs.
    cpus: Option<u32>,
    /// Its memory, such as "2G".
    memory: Option<String>,
    /// Its work disk at /root, such as "8G".
    disk: Option<String>,
    /// A part of the network that is allowed here. Absent: all of it.
    network: Option<Network>,
}

/// A wish for less network than is allowed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    /// "none": nothing; "list": what the rules in "allow" name; "public": the internet.
    egress: Option<NarrowEgress>,
    /// Rules such as "github.com:443" or "@pypi".
    #[serde(default)]
    allow: Vec<String>,
    /// Rules for what is not to be reached.
    #[serde(default)]
    deny: Vec<String>,
}

/// See [`Network`].
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum NarrowEgress {
    None,
    List,
    Public,
}

/// A VM that is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// The VM: its name or its id.
    pub(crate) vm: String,
}

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Nothing {}

/// A VM as a model needs it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    name: String,
    id: String,
    state: &'static str,
    image: String,
    cpus: u32,
    memory_mib: u32,
    disk_bytes: u64,
    egress: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Vm> for Machine {
    fn from(vm: Vm) -> Self {
        Self {
            name: vm.name.to_string(),
            id: vm.id.to_string(),
            state: vm.state.as_str(),
            image: vm.image.to_string(),
            cpus: vm.vcpu,
            memory_mib: vm.memory_mib,
            disk_bytes: vm.disk_bytes,
            egress: vm.egress.to_string(),
            address: vm.address,
            url: vm.url,
            error: vm.error,
        }
    }
}

#[tool_router(router = machines, vis = "pub(crate)")]
impl<H: Host + 'static> Server<H> {
    #[tool(
        name = "vm_create",
        description = "Make and boot a private Linux VM. Returns its name when it answers."
    )]
    async fn create(&self, Parameters(wish): Parameters<Create>) -> Answer {
        let (_permit, client) = self.begin().await?;
        let create = self.wanted(wish)?;
        if let Some(image) = &create.image {
            there(&client, image).await?;
        }
        let mine = ownership::all(&client, &self.policy).await?;
        if mine.len() >= self.policy.vms {
            return Err(Refusal::Vms(self.policy.vms).into());
        }
        let accepted = client.create_vm(&create).await?;
        let vm = accepted.vm.as_ref().map(|vm| vm.id);
        let vm = vm.ok_or_else(|| ApiError::new(ErrorCode::Internal, "the daemon makes no VM"))?;
        machine_after(&client, accepted.operation, vm).await
    }

    #[tool(
        name = "vm_list",
        description = "List your VMs with their state, size and address.",
        annotations(read_only_hint = true)
    )]
    async fn list(&self, Parameters(_nothing): Parameters<Nothing>) -> Answer {
        let (_permit, client) = self.begin().await?;
        let vms = ownership::all(&client, &self.policy).await?;
        let vms: Vec<Machine> = vms.into_iter().map(Machine::from).collect();
        json(&serde_json::json!({ "vms": vms }))
    }

    #[tool(
        name = "vm_start",
        description = "Start a VM that is stopped, or wake one that is suspended.",
        annotations(idempotent_hint = true, destructive_hint = false)
    )]
    async fn start(&self, Parameters(which): Parameters<Which>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&which.vm).await?;
        let accepted = client.start_vm(&vm.id.to_string()).await?;
        machine_after(&client, accepted.operation, vm.id).await
    }

    #[tool(
        name = "vm_stop",
        description = "Shut a VM down. Its disks are kept.",
        annotations(destructive_hint = false)
    )]
    async fn stop(&self, Parameters(which): Parameters<Which>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&which.vm).await?;
        let accepted = client
            .stop_vm(&vm.id.to_string(), &StopVm::default())
            .await?;
        machine_after(&client, accepted.operation, vm.id).await
    }

    #[tool(
        name = "vm_delete",
        description = "Delete a VM of yours with all its files, also a running one."
    )]
    async fn delete(&self, Parameters(which): Parameters<Which>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&which.vm).await?;
        let accepted = client.delete_vm(&vm.id.to_string(), true).await?;
        finished(&client, accepted.operation).await?;
        json(&serde_json::json!({ "deleted": vm.name }))
    }

    #[tool(
        name = "vm_ports",
        description = "List what listens in a VM, and where this host reaches it.",
        annotations(read_only_hint = true)
    )]
    async fn ports(&self, Parameters(which): Parameters<Which>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&which.vm).await?;
        let ports = client.vm_ports(&vm.id.to_string()).await?;
        json(&serde_json::json!({ "address": vm.address, "url": vm.url, "ports": ports }))
    }

    fn wanted(&self, wish: Create) -> Result<CreateVm, ToolError> {
        let policy = &self.policy;
        let image = wish
            .image
            .map(|image| parsed("image", &image))
            .transpose()?;
        let memory = wish
            .memory
            .map(|size| parsed("memory", &size))
            .transpose()?;
        let disk = wish.disk.map(|size| parsed("disk", &size)).transpose()?;
        let memory: ByteSize = policy.memory(memory)?;
        Ok(CreateVm {
            name: wish.name.map(|name| parsed("name", &name)).transpose()?,
            image: policy.image(image)?,
            vcpu: Some(policy.cpus(wish.cpus)?),
            memory: Some(memory),
            disk_size: Some(policy.disk(disk)?),
            net: Some(policy.net),
            stack: policy.stack(wish.network.is_some()),
            egress: (policy.net == NetMode::User).then_some(policy.egress),
            allow: policy.allow.clone(),
            narrow: wish.network.map(narrowed),
            labels: policy.labels()?,
            start: true,
            ..CreateVm::default()
        })
    }

    /// Deletes all VMs of the policy. What fails is left, and can be found by its label.
    pub(crate) async fn remove_all(&self) {
        let Ok(client) = self.host.client().await else {
            return;
        };
        let Ok(vms) = ownership::all(&client, &self.policy).await else {
            return;
        };
        for vm in vms {
            if let Ok(accepted) = client.delete_vm(&vm.id.to_string(), true).await {
                let _ = finished(&client, accepted.operation).await;
            }
        }
    }
}

/// An image that is not there would be built or fetched first, which an agent is not to set off.
async fn there(client: &Client, wanted: &ImageName) -> Result<(), ToolError> {
    let images = client.images().await?;
    if images.iter().any(|image| image.name == *wanted) {
        return Ok(());
    }
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let message = format!(
        "there is no image \"{wanted}\"; there are: {}",
        names.join(", ")
    );
    Err(ApiError::new(ErrorCode::NotFound, message).into())
}

fn narrowed(network: Network) -> NarrowNetwork {
    NarrowNetwork {
        egress: match network.egress {
            Some(NarrowEgress::None) => Egress::None,
            Some(NarrowEgress::List) => Egress::List,
            // Without a word, rules alone are what is left.
            None if !network.allow.is_empty() => Egress::List,
            Some(NarrowEgress::Public) | None => Egress::Public,
        },
        allow: network.allow,
        deny: network.deny,
    }
}

pub(crate) fn parsed<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, ToolError>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| ToolError::Argument(format!("{what}: {error}")))
}

/// Waits for an operation, and answers with a VM as it is then.
pub(super) async fn machine_after(client: &Client, operation: OperationId, vm: VmId) -> Answer {
    finished(client, operation).await?;
    json(&Machine::from(client.vm(&vm.to_string()).await?))
}

/// Waits for the end of an operation, and cancels it when its caller goes.
pub(crate) async fn finished(client: &Client, operation: OperationId) -> Result<(), ToolError> {
    let ended = match client.operation_events(operation, true).await {
        Ok(mut events) => loop {
            match events.next().await {
                Ok(Some(event)) => {
                    if let EventKind::Finished { state, error } = event.kind {
                        break Some((state, error));
                    }
                }
                Ok(None) | Err(_) => break None,
            }
        },
        // It has ended already.
        Err(_over) => None,
    };
    let (state, error) = match ended {
        Some(ended) => ended,
        None => {
            let operation = client.operation(operation).await?;
            (operation.state, operation.error)
        }
    };
    match (state, error) {
        (OperationState::Done, _) => Ok(()),
        (_, Some(error)) => Err(error.into()),
        (state, None) => {
            let message = format!("the operation is {state}");
            Err(ApiError::new(ErrorCode::Internal, message).into())
        }
    }
}
