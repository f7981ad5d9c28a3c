//! `banger completion`

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::args::Cli;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger completion`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger completion bash > ~/.local/share/bash-completion/completions/banger
  banger completion zsh > ~/.zfunc/_banger
  banger completion fish > ~/.config/fish/completions/banger.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Standard output is gone.
pub fn run(args: Args, context: &Context) -> Outcome {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "banger", &mut script);
    context.output.data(&script)?;
    Ok(0)
}
