//! `banger vm net watch`

use banger_net_control::Record;

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::network::told;

/// Arguments of `banger vm net watch`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The last refusals come first. A refusal that a rule would change says the rule. It ends when the VM stops.

Examples:
  banger vm net watch web
  banger vm net watch web --json | jq .event")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Prints refusals as they happen.
///
/// # Errors
/// There is no such VM, or it does not run.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let mut stream = context
        .session
        .read(|client| async move { client.network_denials(reference, 0).await })
        .await?;
    let mut rest = Vec::new();
    while let Some(bytes) = stream.next().await? {
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let text = match serde_json::from_slice::<Record>(&line) {
                Ok(record) if !context.output.json() => told(&record) + "\n",
                _ => String::from_utf8_lossy(&line).into_owned(),
            };
            context.output.data(text.as_bytes())?;
        }
    }
    Ok(0)
}
