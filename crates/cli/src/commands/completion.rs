//! `banger completion`

use std::path::PathBuf;

use banger_api::{ApiError, ErrorCode};
use clap::Subcommand;
use serde::Serialize;

use crate::complete::{Shell, sourcing, write_script};
use crate::context::Context;
use crate::failure::{Failure, Outcome, host_error};
use crate::output::Render;
use crate::output::page::Page;

/// Completion for shells.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the script for bash
    Bash(Script),
    /// Print the script for zsh
    Zsh(Script),
    /// Print the script for fish
    Fish(Script),
    /// Install completion for your shell
    Install(Install),
    /// Remove what install has written
    Uninstall(Install),
}

/// Arguments of the commands that print a script.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The script asks this program for what may come next, so that names of VMs, images and kernels are completed.

Examples:
  source <(banger completion bash)
  banger completion install        for every shell that you start from now on")]
pub struct Script {}

/// Arguments of `banger completion install` and `uninstall`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
One file is written, in the place where the shell looks for completions of its user.

Examples:
  banger completion install
  banger completion install --shell fish
  banger completion uninstall")]
pub struct Install {
    /// The shell [default: the one that SHELL names]
    #[arg(long, value_enum)]
    shell: Option<Shell>,
}

/// The file that was written or removed.
#[derive(Debug, Serialize)]
struct Written {
    path: PathBuf,
    installed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
}

impl Render for Written {
    fn text(&self, page: &mut Page) {
        page.line(self.path.to_string_lossy());
        if let Some(next) = self.next {
            page.line(next);
        }
    }
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Standard output is gone, or the file cannot be written.
    pub fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Bash(_) => print(Shell::Bash, context),
            Self::Zsh(_) => print(Shell::Zsh, context),
            Self::Fish(_) => print(Shell::Fish, context),
            Self::Install(args) => install(args, context),
            Self::Uninstall(args) => uninstall(args, context),
        }
    }
}

fn print(shell: Shell, context: &Context) -> Outcome {
    let mut script = Vec::new();
    write_script(shell.name(), &mut script)
        .map_err(|source| host_error("cannot write the script", &source))?;
    context.output.data(&script)?;
    Ok(0)
}

fn install(args: Install, context: &Context) -> Outcome {
    let shell = wanted(args.shell)?;
    let path = file_of(shell)?;
    let failed = |source| host_error(format_args!("cannot write {}", path.display()), &source);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(&path, sourcing(shell)).map_err(failed)?;
    let next = (shell == Shell::Zsh)
        .then_some("zsh looks there when ~/.zshrc has: fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit");
    context.output.print(&Written {
        path,
        installed: true,
        next,
    })
}

fn uninstall(args: Install, context: &Context) -> Outcome {
    let path = file_of(wanted(args.shell)?)?;
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(host_error(format_args!("cannot remove {}", path.display()), &source).into())
        }
        _ => context.output.print(&Written {
            path,
            installed: false,
            next: None,
        }),
    }
}

fn wanted(asked: Option<Shell>) -> Result<Shell, Failure> {
    let own = || Shell::of_program(&std::env::var_os("SHELL")?);
    asked.or_else(own).ok_or_else(|| {
        let error = ApiError::new(
            ErrorCode::InvalidArgument,
            "SHELL names no shell that has completion here",
        );
        error.hint("--shell bash, zsh or fish").into()
    })
}

/// The place where the shell looks for its user's completions (bash-completion's README, fish's and zsh's manuals).
fn file_of(shell: Shell) -> Result<PathBuf, Failure> {
    let folder = |variable: &str, default: &str| {
        let named = std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        named.or_else(|| Some(home()?.join(default)))
    };
    let path = match shell {
        Shell::Bash => folder("XDG_DATA_HOME", ".local/share")
            .map(|data| data.join("bash-completion/completions/banger")),
        Shell::Fish => folder("XDG_CONFIG_HOME", ".config")
            .map(|config| config.join("fish/completions/banger.fish")),
        Shell::Zsh => home().map(|home| home.join(".zfunc/_banger")),
    };
    path.ok_or_else(|| {
        let error = ApiError::new(ErrorCode::HostNotReady, "HOME is not set");
        error.hint("set HOME to your own folder").into()
    })
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute())
}
