//! `banger internal man`

use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::context::Context;
use crate::failure::{Outcome, host_error};

/// Arguments of `banger internal man`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger internal man ~/.local/share/man/man1")]
pub struct Args {
    /// The folder, which is made when it is absent
    folder: PathBuf,
}

/// Writes a page for each command.
///
/// # Errors
/// The folder or a page cannot be written.
pub fn run(args: Args, _context: &Context) -> Outcome {
    let failed = |source| {
        host_error(
            format_args!("cannot write {}", args.folder.display()),
            &source,
        )
    };
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &args.folder).map_err(failed)?;
    Ok(0)
}
