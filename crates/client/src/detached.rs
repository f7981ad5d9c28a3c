//! Calls about commands that go on after the client that started them has gone.

use banger_api::detached::DetachedCommand;
use banger_api::routes::{self, fill};
use banger_api::vm::Exec;

use crate::client::Client;
use crate::error::ClientError;
use crate::exec::ExecSession;

impl Client {
    /// Starts a command that goes on by itself.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_detach(
        &self,
        reference: &str,
        exec: &Exec,
    ) -> Result<DetachedCommand, ClientError> {
        self.post(fill(routes::VM_DETACHED, reference))
            .json(exec)?
            .answer()
            .await
    }

    /// The commands that were started so since the VM's start, the oldest first.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_detached(&self, reference: &str) -> Result<Vec<DetachedCommand>, ClientError> {
        self.get(fill(routes::VM_DETACHED, reference))
            .answer()
            .await
    }

    /// Follows one of them, with its output or only to its end.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_attach(
        &self,
        reference: &str,
        id: u32,
        output: bool,
    ) -> Result<ExecSession, ClientError> {
        let route = fill(routes::VM_ATTACH, reference);
        let call = self.post(format!("{route}?id={id}&output={output}"));
        Ok(ExecSession::over(call.upgraded().await?))
    }
}
