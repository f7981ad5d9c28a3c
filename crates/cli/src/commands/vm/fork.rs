//! `banger vm fork`

use banger_api::VmName;
use banger_api::checkpoint::ForkVm;

use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::references;
use crate::view::shown::Shown;
use crate::view::vm::Changed;

/// Arguments of `banger vm fork`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each has the disks of the VM, with a name, keys and addresses of its own, and boots. Nothing is copied: what \
they write is written beside what they share. What was sent there with `workspace prepare` can be exported \
from each. Ports that the VM publishes stay its own.

Examples:
  banger vm fork web --name web-next
  banger vm fork web --checkpoint before-upgrade
  banger vm fork agent --count 3            agent-1, agent-2 and agent-3")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The checkpoint from which they go on; what its disks are now when left out
    #[arg(long, value_name = "CHECKPOINT")]
    checkpoint: Option<String>,
    /// Number of VMs
    #[arg(long, value_name = "N")]
    count: Option<u32>,
    /// Name of the one, or of all with numbers behind it; the VM's when left out
    #[arg(long, value_name = "NAME")]
    name: Option<VmName>,
    /// Start none of them
    #[arg(long)]
    no_start: bool,
}

/// Forks the VM, starts what was made, and prints the names.
///
/// # Errors
/// There is no such VM or checkpoint, a name is taken, or one of them does not start.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let (vm, fork) = (
        &args.vm,
        &ForkVm {
            checkpoint: args.checkpoint,
            count: args.count,
            name: args.name,
        },
    );
    let accepted = start(
        context,
        |client| async move { client.fork_vm(vm, fork).await },
    )
    .await?;
    let progress = &Progress::new(&context.output);
    follow(context, progress, accepted.operation, None, How::default()).await?;
    let no_start = args.no_start;
    let results = references::act(accepted.forks, |made| async move {
        let (id, name) = (&made.id.to_string(), made.name.as_str());
        if !no_start {
            let started = start(context, |client| async move { client.start_vm(id).await }).await?;
            follow(
                context,
                progress,
                started.operation,
                Some(name),
                How::default(),
            )
            .await?;
        }
        let now = context
            .session
            .read(|client| async move { client.vm(id).await })
            .await?;
        Ok(Changed(now))
    })
    .await;
    results.print(context, Shown)
}
