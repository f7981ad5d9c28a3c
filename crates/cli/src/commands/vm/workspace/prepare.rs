//! `banger vm workspace prepare`

use std::path::PathBuf;

use crate::commands::vm::change::find;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::workspace::{Listing, Prepared};
use crate::workspace::{Asked, Going};

/// Arguments of `banger vm workspace prepare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The repository arrives at /root/NAME with its branch, its last commits and what is not committed. Ignored files, hooks
and credentials stay here. A second time only what changed goes, and work that was done in the guest is never written
over without --force.

Examples:
  banger vm workspace prepare web              the repository around here
  banger vm workspace prepare web ~/src/api --depth full
  banger vm workspace prepare web . --branch try --from v1.2
  banger vm workspace prepare web . --dry-run  what would go")]
pub struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Write over work that was done in the guest
    #[arg(short, long)]
    force: bool,
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// A folder of the repository
    #[arg(default_value = ".")]
    path: PathBuf,
}

/// Sends the repository and says what went.
///
/// # Errors
/// It cannot go, or the guest has work there that would be lost.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let dry_run = args.asked.dry_run;
    let mut interrupts = context.interrupts()?;
    let preparing = async {
        let survey = args.asked.survey(&args.path, context).await?;
        let going = Going::new(survey)?;
        if dry_run {
            return context
                .output
                .print(&Listing::of(going.survey(), going.dest()));
        }
        let vm = find(&args.vm, context).await?;
        let gone = going
            .update(&vm.id.to_string(), args.force, context)
            .await?;
        context.output.print(&Prepared::of(&vm, &gone))
    };
    tokio::select! {
        outcome = preparing => outcome,
        _ = interrupts.next() => Err(Failure::interrupted(
            "interrupted; the same command again sends what is missing",
        )),
    }
}
