//! `banger internal unit`

use std::path::PathBuf;

use crate::context::Context;
use crate::failure::Outcome;
use crate::service::{self, Manager};

/// Arguments of `banger internal unit`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger internal unit /usr/bin/banger > banger.service")]
pub struct Args {
    /// Path at which the program will be
    program: PathBuf,
}

/// Prints the unit that a package brings for every user: of no user's folders.
///
/// # Errors
/// Standard output is gone.
pub fn run(args: Args, context: &Context) -> Outcome {
    let unit = service::unit(Manager::User, &args.program, &|_name| None);
    context.output.data(unit.as_bytes())?;
    Ok(0)
}
