//! `banger vm ports`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::vm::Ports;

/// Arguments of `banger vm ports`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm ports web
  banger vm ports web --json | jq -r '.[].reach'")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Prints what listens in a guest.
///
/// # Errors
/// There is no such VM, or its guest does not answer.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let ports = context
        .session
        .read(|client| async move { client.vm_ports(reference).await })
        .await?;
    if ports.is_empty() && !context.output.json() {
        let note = format!("nothing listens in VM {reference}");
        context.output.note(&note);
        return Ok(0);
    }
    context.output.print(&Ports(ports))
}
