//! `banger vm delete`

use super::change::each;
use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::How;
use crate::view::shown::{Removed, Shown};

/// Arguments of `banger vm delete`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The VM's work disk goes with it: there is no way back.

Examples:
  banger rm web
  banger rm --force web db         also when they run
  banger rm --force --label job=7  all with this label")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Also a VM that runs
    #[arg(short, long)]
    force: bool,
}

/// Deletes VMs and prints their names.
///
/// # Errors
/// One of them is not there, runs, or cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let force = args.force;
    let results = each(
        &args.chosen,
        How::default(),
        context,
        |client, id| async move { client.delete_vm(&id.to_string(), force).await },
    )
    .await?;
    results.print(context, |vms| {
        let removed = vms
            .into_iter()
            .map(|vm| Removed::new(vm.name, Some(vm.id.to_string())));
        Shown(removed.collect())
    })
}
