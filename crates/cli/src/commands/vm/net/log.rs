//! `banger vm net log`

use std::path::PathBuf;

use banger_egress::{Egress, Grant, Layer, Policy, Rule};
use banger_net_control::{Record, replay, verify};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::network::{Events, Replays, Whole};

/// Arguments of `banger vm net log`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each lookup and connection is a line, with the rule or the reason. Lines have the hash of the line before, so that \
none can be changed or removed unseen; the oldest go when the log is full (16 MiB). With --json a line is printed as it \
is stored.

--replay asks what other rules would have said: it prints the answers that would have been others.

Examples:
  banger vm net log web
  banger vm net log web --denied
  banger vm net log web --verify
  banger vm net log web --replay list --allow github.com:443 --allow @debian
  banger vm net log web --json > web.ndjson")]
pub struct Args {
    /// Only refusals
    #[arg(long, conflicts_with = "verify")]
    denied: bool,
    /// Check that no line was changed or removed
    #[arg(long)]
    verify: bool,
    /// Verdicts of other rules: public, all, none or list, with the rules of --allow and --deny
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["denied", "verify"])]
    replay: Option<Egress>,
    /// With --replay: a rule of what may be reached besides; repeatable
    #[arg(long, value_name = "RULE", requires = "replay")]
    allow: Vec<Rule>,
    /// With --replay: a rule of what may not be reached; repeatable
    #[arg(long, value_name = "RULE", requires = "replay")]
    deny: Vec<Rule>,
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
    let damaged = |error| Failure::usage(format!("the network log of VM \"{reference}\": {error}"));
    if let Some(egress) = args.replay {
        let policy = policy(egress, args.allow, args.deny)?;
        let replayed = replay(&text, &policy).map_err(damaged)?;
        return context.output.print(&Replays(replayed));
    }
    if args.verify {
        let verified = verify(&text).map_err(damaged)?;
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

/// The policy of these rules alone, with this host's reading of the sets that they name.
fn policy(egress: Egress, allow: Vec<Rule>, deny: Vec<Rule>) -> Result<Policy, Failure> {
    let home = std::env::var_os("HOME").map_or_else(PathBuf::new, PathBuf::from);
    let sets = banger_egress::named_sets(allow.iter().chain(&deny), |set| {
        banger_egress::read_set(set, &home, &banger_net::StdFiles)
            .map_err(|error| Failure::usage(format!("rule \"@{set}\": {error}")))
    })?;
    let always = |rules: Vec<Rule>| rules.into_iter().map(Grant::always).collect();
    let layer = Layer {
        allow: always(allow),
        deny: always(deny),
        sets,
        ..Layer::of(egress)
    };
    Ok(Policy::new(0, layer))
}
