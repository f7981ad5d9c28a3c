//! Conversations with guests, one for each running VM, opened when first needed.
//!
//! ```text
//! client(vm) ──► alive? ──► that one
//!                  │ no
//!                  ▼  one greets, the others wait for it
//!            connect to channel.sock ──hello──► agent ──► Client
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use banger_api::{ApiError, VmId};
use banger_guest::wire::handshake::Greeting;
use banger_guest::{Client, ClientError};
use tokio::net::UnixStream;

use crate::failure;

/// Time for a guest that is up to answer a new greeting.
const GREETING: Duration = Duration::from_secs(10);

/// Time for a local connect: the VMM accepts one caller, and may be busy with another.
const CONNECTING: Duration = Duration::from_secs(2);

/// A slot for one VM's conversation. Its lock is held while somebody greets.
type Slot = Arc<tokio::sync::Mutex<Option<Client>>>;

/// The conversations. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Channels {
    slots: Arc<Mutex<HashMap<VmId, Slot>>>,
}

impl Channels {
    fn slot(&self, vm: VmId) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(vm).or_default().clone()
    }

    /// The conversation with a running VM.
    ///
    /// # Errors
    /// `guest_unreachable` when its agent does not answer.
    pub(crate) async fn client(&self, vm: VmId, socket: &Path) -> Result<Client, ApiError> {
        self.client_within(vm, socket, Greeting::Running, GREETING)
            .await
            .map_err(|error| failure::of_guest(&error))
    }

    /// The same, with a time of its own for the greeting: a guest that boots takes longer.
    pub(crate) async fn client_within(
        &self,
        vm: VmId,
        socket: &Path,
        greeting: Greeting,
        within: Duration,
    ) -> Result<Client, ClientError> {
        let slot = self.slot(vm);
        let mut slot = slot.lock().await;
        if let Some(client) = slot.as_ref()
            && !is_over(client).await
        {
            return Ok(client.clone());
        }
        *slot = None;
        let stream = connect(socket.to_owned()).await?;
        let client = Client::connect(stream, greeting, within).await?;
        *slot = Some(client.clone());
        Ok(client)
    }

    /// Ends the conversation with an agent that is known to be gone, and every call in it: the VMM keeps the channel open.
    pub(crate) fn lose(&self, vm: VmId) {
        // Whoever greets holds the slot, and found the old conversation over.
        if let Ok(mut slot) = self.slot(vm).try_lock()
            && let Some(client) = slot.take()
        {
            client.agent_is_gone();
        }
    }

    /// Ends the conversation with a VM that is going down.
    pub(crate) fn close(&self, vm: VmId) {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&vm);
    }
}

async fn is_over(client: &Client) -> bool {
    tokio::select! {
        biased;
        _ = client.closed() => true,
        () = std::future::ready(()) => false,
    }
}

async fn connect(socket: PathBuf) -> Result<UnixStream, ClientError> {
    let failed = |error: std::io::Error| {
        ClientError::Handshake(banger_guest::wire::handshake::HandshakeError::Io(error))
    };
    // A local connect does not wait.
    let named = |error: std::io::Error| {
        std::io::Error::new(
            error.kind(),
            format!("cannot connect to {}: {error}", socket.display()),
        )
    };
    let stream =
        banger_socket::connect(&socket, CONNECTING).map_err(|error| failed(named(error)))?;
    stream.set_nonblocking(true).map_err(failed)?;
    UnixStream::from_std(stream).map_err(failed)
}
