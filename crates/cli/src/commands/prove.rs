//! `banger prove`

use std::io::Write as _;

use banger_api::{ApiError, ErrorCode};
use banger_prove::Options;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::prove::Proof;

/// Arguments of `banger prove`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Nothing of this host is touched: the machine, its files, processes and power cuts are simulated, the plans, \
their runner, the journal and the recovery are the ones that this binary runs with.

Examples:
  banger prove                  every fault, then 10,000 histories
  banger prove --seeds 1000000  more of them
  banger prove --seed 4711      one history again, with what happened in it
  banger prove --json > proof.json")]
pub struct Args {
    /// Number of random histories
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    seeds: u64,
    /// Only this random history, told step by step
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "case"])]
    seed: Option<u64>,
    /// Only this case of the sweep, told step by step
    #[arg(long, value_name = "CASE", conflicts_with = "seeds")]
    case: Option<String>,
}

/// Proves that no crash loses or leaks anything, and prints what was covered.
///
/// # Errors
/// A rule was broken (the exit code is 1), or the proof could not be made.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let progress = context.output.stderr_is_terminal() && !context.output.json();
    let options = Options {
        seeds: args.seeds,
        seed: args.seed,
        case: args.case,
        progress: progress.then(|| Box::new(show) as Box<dyn Fn(u64, u64) + Send + Sync>),
        ..Options::default()
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::from(ApiError::new(ErrorCode::Internal, format!("{error}")))
    };
    let proof = tokio::task::spawn_blocking(move || banger_prove::run(&options))
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    let holds = proof.holds();
    context.output.print(&Proof(proof))?;
    Ok(u8::from(!holds))
}

/// One line that is written over.
fn show(done: u64, total: u64) {
    let end = if done == total { "\n" } else { "" };
    // A terminal that is gone does not end a proof.
    let _ = write!(std::io::stderr(), "\r{done} of {total}{end}");
}
