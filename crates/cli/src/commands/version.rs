//! `banger version`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::system::Version;

/// Arguments of `banger version`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger version
  banger version --json")]
pub struct Args {}

/// Prints the version of this program; no daemon is asked.
///
/// # Errors
/// Standard output is gone.
pub fn run(_args: Args, context: &Context) -> Outcome {
    context.output.print(&Version {
        version: env!("CARGO_PKG_VERSION"),
        build: context.session.endpoint().build.clone(),
    })
}
