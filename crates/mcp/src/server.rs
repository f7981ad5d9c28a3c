//! The server: its tools, and how many run at once.

use std::rc::Rc;
use std::sync::Arc;

use banger_api::vm::Vm;
use banger_client::Client;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{RoleServer, ServerHandler, ServiceExt as _, tool_handler};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::answer::ToolError;
use crate::host::Host;
use crate::ownership;
use crate::policy::Policy;

/// Tools that run at once; a call beyond them is refused, so that nothing is kept for who floods.
const AT_ONCE: usize = 16;
/// Largest message, in bytes: a file of 8 MiB in base64, and its frame.
const MAX_MESSAGE: usize = 12 << 20;

/// Advice for the model.
const INSTRUCTIONS: &str = "\
Private Linux machines (microVMs) on this host. vm_create makes and boots one in a second or two; you are root in it and may break \
it. vm_exec runs commands (each in a new shell; use cwd), vm_read_file and vm_write_file move texts, vm_copy_in and vm_copy_out files \
and folders of the host's shared folder. When a repository is shared, workspace_send puts it at /root/NAME, workspace_diff shows what \
changed there, workspace_apply brings it to the host. vm_checkpoint keeps a VM's disks and vm_restore goes back to them; vm_fork makes \
copies for several tries. Work disks are kept until vm_delete. A refusal says what is allowed.";

/// A server of one policy. Cheap to clone.
pub struct Server<H> {
    pub(crate) host: Rc<H>,
    pub(crate) policy: Arc<Policy>,
    permits: Arc<Semaphore>,
    tools: ToolRouter<Self>,
}

impl<H> Clone for Server<H> {
    fn clone(&self) -> Self {
        Self {
            host: Rc::clone(&self.host),
            policy: Arc::clone(&self.policy),
            permits: Arc::clone(&self.permits),
            tools: self.tools.clone(),
        }
    }
}

/// Failure of the server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The client did not begin as the protocol says.
    #[error("the client did not begin as the Model Context Protocol says")]
    Begin(#[source] Box<rmcp::service::ServerInitializeError>),
    /// The server's task failed.
    #[error("the server failed")]
    Task(#[from] tokio::task::JoinError),
}

impl<H: Host + 'static> Server<H> {
    /// A server in this program, under this policy.
    pub fn new(host: H, policy: Policy) -> Self {
        Self {
            host: Rc::new(host),
            policy: Arc::new(policy),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            tools: Self::machines()
                + Self::commands()
                + Self::files()
                + Self::checkpoints()
                + Self::workspaces(),
        }
    }

    /// Does what is to be done when the agent has gone: deletes its VMs, if the policy says so.
    pub async fn end(&self) {
        if self.policy.remove {
            self.remove_all().await;
        }
    }

    /// The leave to do work, for as long as it is held, and calls to a daemon.
    pub(crate) async fn begin(&self) -> Result<(SemaphorePermit<'_>, Client), ToolError> {
        let permit = self.permits.try_acquire().map_err(|_busy| {
            ToolError::Argument(format!(
                "{AT_ONCE} calls are under way, and more are not taken: wait for one of them"
            ))
        })?;
        Ok((permit, self.host.client().await?))
    }

    /// The same, with a VM of the policy.
    pub(crate) async fn begin_with(
        &self,
        vm: &str,
    ) -> Result<(SemaphorePermit<'_>, Client, Vm), ToolError> {
        let (permit, client) = self.begin().await?;
        let vm = ownership::find(&client, &self.policy, vm).await?;
        Ok((permit, client, vm))
    }
}

#[tool_handler(router = self.tools)]
impl<H: Host + 'static> ServerHandler for Server<H> {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("banger", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }
}

/// Serves one client on this stream until it goes. Runs in a `tokio::task::LocalSet`.
///
/// # Errors
/// The client does not speak the protocol.
pub async fn serve<H: Host + 'static>(
    server: Server<H>,
    from: impl AsyncRead + Unpin + Send + 'static,
    to: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<(), ServeError> {
    let transport =
        AsyncRwTransport::<RoleServer, _, _>::new(from, to).with_max_line_length(MAX_MESSAGE);
    let running = server
        .serve(transport)
        .await
        .map_err(|error| ServeError::Begin(Box::new(error)))?;
    running.waiting().await?;
    Ok(())
}
