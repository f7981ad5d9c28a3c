//! `banger vm checkpoint`

pub mod create;
pub mod delete;
pub mod list;
pub mod restore;

use banger_api::checkpoint::Checkpoint;
use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Points in the life of a VM's disks to which it can go back.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep the disks of a VM, while it runs or not
    Create(create::Args),
    /// List the checkpoints of a VM
    #[command(alias = "ls")]
    List(list::Args),
    /// Let a VM go back to a checkpoint
    Restore(restore::Args),
    /// Forget checkpoints
    #[command(alias = "rm")]
    Delete(delete::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Create(args) => create::run(args, context).await,
            Self::List(args) => list::run(args, context).await,
            Self::Restore(args) => restore::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
        }
    }
}

/// The checkpoints of a VM.
async fn of_vm(vm: &str, context: &Context) -> Result<Vec<Checkpoint>, crate::failure::Failure> {
    context
        .session
        .read(|client| async move { client.checkpoints(vm).await })
        .await
}
