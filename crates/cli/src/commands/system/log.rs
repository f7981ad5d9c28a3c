//! `banger system log`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::system::Log;

/// Arguments of `banger system log`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The newest operation comes first. A VM that is gone is found by the name or the id that it had.

Examples:
  banger system log                the last operations of all VMs
  banger system log web            those of one, deleted or not
  banger system log web --limit 1  its last operation, step by step")]
pub struct Args {
    /// A VM, also one that is gone: its name or its id
    vm: Option<String>,
    /// Number of operations
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

/// Prints what happened, step by step.
///
/// # Errors
/// The log cannot be read.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let (vm, limit) = (args.vm.as_deref(), args.limit);
    let log = context
        .session
        .read(|client| async move { client.operation_log(vm, limit).await })
        .await?;
    context.output.print(&Log(log))
}
