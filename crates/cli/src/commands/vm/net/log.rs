//! `banger vm net log`

use banger_net_control::{Record, verify};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::network::{Events, Whole};

/// Arguments of `banger vm net log`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each lookup and connection is a line, with the rule or the reason. Lines have the hash of the line before, so that \
none can be changed or removed unseen; the oldest go when the log is full (16 MiB). With --json a line is printed as it \
is stored.

Examples:
  banger vm net log web
  banger vm net log web --denied
  banger vm net log web --verify
  banger vm net log web --json > web.ndjson")]
pub struct Args {
    /// Only refusals
    #[arg(long, conflicts_with = "verify")]
    denied: bool,
    /// Check that no line was changed or removed
    #[arg(long)]
    verify: bool,
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Prints the audit log of a VM's network.
///
/// # Errors
/// There is no such VM, or the log was changed.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let mut stream = context
        .session
        .read(|client| async move { client.network_log(reference).await })
        .await?;
    let mut bytes = Vec::new();
    while let Some(more) = stream.next().await? {
        bytes.extend_from_slice(&more);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if args.verify {
        let verified = verify(&text).map_err(|error| {
            Failure::usage(format!("the network log of VM \"{reference}\": {error}"))
        })?;
        return context.output.print(&Whole(verified));
    }
    if context.output.json() && !args.denied {
        context.output.data(text.as_bytes())?;
        return Ok(0);
    }
    let records = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Record>(line).ok());
    let records: Vec<Record> = match args.denied {
        true => records.filter(Events::is_refusal).collect(),
        false => records.collect(),
    };
    context.output.print(&Events(records))
}
