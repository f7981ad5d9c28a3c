//! `banger vm logs`

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::sanitize::LogFilter;

/// Arguments of `banger vm logs`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
This is what the guest's kernel and init system wrote to the console, the last start last. Only text \
and colours pass, in a pipe as at a terminal: a guest could write what commands the terminal that it ends up on. \
With --raw it comes as it is.

Examples:
  banger logs web
  banger logs -f --tail 20 web  the end, and what is still to come
  banger logs web > console.log
  banger logs --raw web > bytes")]
pub struct Args {
    /// Go on with what is still to come
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<u64>,
    /// Print the bytes as the guest wrote them
    #[arg(long)]
    raw: bool,
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Prints a VM's console log.
///
/// # Errors
/// There is no such VM, or the log cannot be read.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let mut log = context
        .session
        .read(|client| async move { client.vm_logs(reference, args.follow, args.tail).await })
        .await?;
    let mut filter = (!args.raw).then(LogFilter::default);
    while let Some(bytes) = log.next().await? {
        match &mut filter {
            Some(filter) => context.output.data(&filter.pass(&bytes))?,
            None => context.output.data(&bytes)?,
        }
    }
    Ok(0)
}
