//! Calls about operations.

use banger_api::OperationId;
use banger_api::operation::{LoggedOperation, Operation};
use banger_api::routes::{self, encode, fill};

use crate::bytestream::ByteStream;
use crate::client::Client;
use crate::error::ClientError;
use crate::events::OperationEvents;

impl Client {
    /// One operation.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn operation(&self, id: OperationId) -> Result<Operation, ClientError> {
        self.get(fill(routes::OPERATION, &id.to_string()))
            .answer()
            .await
    }

    /// The newest operations with their journals, newest first; of one VM, also of one that is gone, when it is named.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn operation_log(
        &self,
        vm: Option<&str>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, ClientError> {
        let mut path = format!("{}?limit={limit}", routes::OPERATIONS);
        if let Some(vm) = vm {
            path.push_str(&format!("&vm={}", encode(vm)));
        }
        self.get(path).answer().await
    }

    /// Follows an operation from its first event. With `cancel_on_disconnect` the daemon cancels it when this stream is
    /// dropped (or this process dies) before it has ended.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn operation_events(
        &self,
        id: OperationId,
        cancel_on_disconnect: bool,
    ) -> Result<OperationEvents, ClientError> {
        let mut path = fill(routes::OPERATION_EVENTS, &id.to_string());
        if cancel_on_disconnect {
            path.push_str("?cancel_on_disconnect=true");
        }
        let answer = self.get(path).stream().await?;
        Ok(OperationEvents::new(ByteStream::new(answer)))
    }

    /// Cancels an operation. It goes on until its effects are undone.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn cancel_operation(&self, id: OperationId) -> Result<(), ClientError> {
        // The answer's body, if any, tells nothing that the events do not.
        self.post(fill(routes::OPERATION_CANCEL, &id.to_string()))
            .answer::<serde_json::Value>()
            .await
            .map(drop)
    }
}
