//! `banger vm workspace diff`

use banger_workspace::Filtered;

use crate::commands::vm::change::find;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::sanitize::harmless;
use crate::view::workspace::Changed;
use crate::workspace::{Against, say};

/// Arguments of `banger vm workspace diff`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm workspace diff web         what changed since it was sent
  banger vm workspace diff web --stat  which files, and how much
  banger vm workspace diff web -- src ':!*.lock'")]
pub struct Args {
    /// Only the files, and how many lines
    #[arg(long)]
    stat: bool,
    /// The VM: its name, its id or the start of its id
    vm: String,
    #[command(flatten)]
    against: Against,
}

/// Shows what changed.
///
/// # Errors
/// Nothing was sent, the guest's git fails, or the patch is refused.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vm = find(&args.vm, context).await?;
    let reference = vm.id.to_string();
    let mut interrupts = context.interrupts()?;
    let exported = tokio::select! {
        exported = args.against.patch(&reference, Filtered::AsSent, context) => exported?,
        by = interrupts.next() => return Err(Failure::interrupted_by(by, "interrupted")),
    };
    if args.stat || context.output.json() {
        context.output.print(&Changed::of(&exported))?;
        say(&vm, &exported, context);
        return Ok(0);
    }
    say(&vm, &exported, context);
    let text = String::from_utf8_lossy(&exported.bytes);
    context.output.data(harmless(&text).as_bytes())?;
    Ok(0)
}
