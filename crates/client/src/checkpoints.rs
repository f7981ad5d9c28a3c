//! Calls about checkpoints. `reference` is a VM's name, a full id or a unique prefix of an id; `checkpoint` the same of one of its
//! checkpoints.

use banger_api::checkpoint::{Checkpoint, CreateCheckpoint, ForkVm, RestoreCheckpoint};
use banger_api::routes::{self, fill};
use banger_api::vm::Accepted;
use hyper::Method;

use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// The checkpoints of a VM, the oldest first.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn checkpoints(&self, reference: &str) -> Result<Vec<Checkpoint>, ClientError> {
        self.get(fill(routes::VM_CHECKPOINTS, reference))
            .answer()
            .await
    }

    /// Keeps the disks of a VM.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn create_checkpoint(
        &self,
        reference: &str,
        create: &CreateCheckpoint,
    ) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_CHECKPOINTS, reference))
            .json(create)?
            .answer()
            .await
    }

    /// Lets a VM go back to a checkpoint.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn restore_checkpoint(
        &self,
        reference: &str,
        checkpoint: &str,
        restore: &RestoreCheckpoint,
    ) -> Result<Accepted, ClientError> {
        let path = fill(routes::VM_CHECKPOINT_RESTORE, reference);
        self.post(fill(&path, checkpoint))
            .json(restore)?
            .answer()
            .await
    }

    /// Forgets a checkpoint.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn delete_checkpoint(
        &self,
        reference: &str,
        checkpoint: &str,
    ) -> Result<Accepted, ClientError> {
        let path = fill(routes::VM_CHECKPOINT, reference);
        self.call(Method::DELETE, fill(&path, checkpoint))
            .answer()
            .await
    }

    /// Makes VMs of a VM's disks.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn fork_vm(&self, reference: &str, fork: &ForkVm) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_FORK, reference))
            .json(fork)?
            .answer()
            .await
    }
}
