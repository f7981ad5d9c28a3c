//! `banger vm prune`

use std::io::{self, IsTerminal as _};

use banger_api::ByteSize;
use banger_api::vm::{Prune, Pruned};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow};
use crate::progress::Progress;
use crate::references;
use crate::view::vm;

/// Arguments of `banger vm prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Their work disks go with them: there is no way back. At a terminal it asks first.

Examples:
  banger vm prune --dry-run    say what would go
  banger vm prune --yes")]
pub struct Args {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Deletes all VMs that do not run and prints their names.
///
/// # Errors
/// One of them cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let asks = !args.yes && !context.output.json() && io::stdin().is_terminal();
    if args.dry_run || asks {
        let would = prune(true, context).await?;
        if args.dry_run {
            return context.output.print(&vm::Prune::new(&would, true));
        }
        if !would.vms.is_empty() && !confirmed(&would, context) {
            return Err(Failure::interrupted("nothing was deleted"));
        }
    }
    let pruned = prune(false, context).await?;
    let progress = &Progress::new(&context.output);
    let results = references::act(pruned.operations.clone(), |operation| async move {
        follow(context, progress, operation, None, How::default()).await
    })
    .await;
    context.output.print(&vm::Prune::new(&pruned, false))?;
    match results.failure {
        Some(failure) => Err(failure),
        None => {
            let (count, freed) = (pruned.vms.len(), ByteSize(pruned.freed_bytes));
            context
                .output
                .note(&format!("{count} deleted, {freed} freed"));
            Ok(0)
        }
    }
}

async fn prune(dry_run: bool, context: &Context) -> Result<Pruned, Failure> {
    let request = &Prune { dry_run };
    context
        .session
        .change(|client| async move { client.prune_vms(request).await })
        .await
}

fn confirmed(would: &Pruned, context: &Context) -> bool {
    let names: Vec<_> = would.vms.iter().map(|vm| vm.name.as_str()).collect();
    let names = names.join(", ");
    context
        .output
        .confirms(&format!("Delete {names} with all their files?"))
}
