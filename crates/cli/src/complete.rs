//! Completion: a shell asks this program what may come next, names of VMs, images and kernels included.
//!
//! ```text
//! <Tab> ──► the shell's script ──► BANGER_COMPLETE=bash banger -- words ──► candidates, one a line
//!                                                 └──► a running daemon, for names; none is started
//! ```

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::time::Duration;

use banger_client::Client;
use clap::CommandFactory as _;
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{ArgValueCompleter, CompletionCandidate, PathCompleter};

use crate::args::Cli;
use crate::endpoint::Endpoint;

/// The variable by which a shell's script asks.
const ASKS: &str = "BANGER_COMPLETE";
/// The longest that a daemon may take to tell names, so that a shell does not stand still.
const PATIENCE: Duration = Duration::from_millis(500);

/// Answers the script of a shell and ends the process, when it is one that has started this program.
pub fn answer() {
    CompleteEnv::with_factory(command)
        .var(ASKS)
        .bin("banger")
        .complete();
}

/// Writes the script for a shell.
///
/// # Errors
/// The writer's.
pub fn write_script(shell: &str, to: &mut dyn Write) -> io::Result<()> {
    match Shells::builtins().completer(shell) {
        Some(script) => script.write_registration(ASKS, "banger", "banger", "banger", to),
        None => Err(io::Error::other(format!("no script for {shell}"))),
    }
}

/// The line by which a shell's start-up file takes the script from the program itself: it fits every later build.
pub fn sourcing(shell: Shell) -> String {
    match shell {
        Shell::Bash => format!("source <({ASKS}=bash banger)\n"),
        Shell::Zsh => format!("#compdef banger\nsource <({ASKS}=zsh banger)\n"),
        Shell::Fish => format!("{ASKS}=fish banger | source\n"),
    }
}

/// A shell for which completion can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// fish.
    Fish,
}

impl Shell {
    /// Its name, as its program is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    /// The shell whose program this is.
    pub fn of_program(program: &OsStr) -> Option<Self> {
        let name = std::path::Path::new(program).file_name()?.to_str()?;
        [Self::Bash, Self::Zsh, Self::Fish]
            .into_iter()
            .find(|shell| shell.name() == name)
    }
}

/// The command line, whose arguments know how to look up names.
fn command() -> clap::Command {
    with_names(Cli::command())
}

fn with_names(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_value_names().and_then(<[_]>::first);
        let kind = value.map(|name| name.as_str()).and_then(Kind::of_value);
        let kind =
            kind.or_else(|| Kind::of_value(&argument.get_id().as_str().to_ascii_uppercase()));
        match kind {
            Some(kind) => argument.add(ArgValueCompleter::new(move |typed: &OsStr| {
                kind.candidates(typed)
            })),
            None => argument,
        }
    });
    command.mut_subcommands(with_names)
}

/// Things that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vm,
    Image,
    Kernel,
    /// A label that a VM has.
    Label,
    /// A path here, or `VM:PATH`.
    Place,
}

impl Kind {
    /// The kind that a value of this name is, as help calls it.
    fn of_value(name: &str) -> Option<Self> {
        match name {
            "VM" | "VMS" => Some(Self::Vm),
            "IMAGE" | "IMAGES" => Some(Self::Image),
            "KERNEL" | "KERNELS" => Some(Self::Kernel),
            "KEY[=VALUE]" | "KEY=VALUE" => Some(Self::Label),
            "SOURCE" | "DESTINATION" | "SRC" | "DST" => Some(Self::Place),
            _ => None,
        }
    }

    fn candidates(self, typed: &OsStr) -> Vec<CompletionCandidate> {
        let mut candidates = Vec::new();
        if self == Self::Place {
            candidates =
                clap_complete::engine::ValueCompleter::complete(&PathCompleter::any(), typed);
        }
        let typed = typed.to_string_lossy();
        let named = names(self).unwrap_or_default().into_iter();
        let named = named.filter(|(name, _)| name.starts_with(&*typed));
        candidates.extend(named.map(|(name, help)| {
            let help = (!help.is_empty()).then(|| help.into());
            CompletionCandidate::new(name).help(help)
        }));
        candidates
    }
}

/// Names with a word about each, of a daemon that runs; none when it does not answer in time.
fn names(kind: Kind) -> Option<Vec<(String, String)>> {
    let endpoint = Endpoint::from_env().ok()?;
    let client = Client::new(endpoint.paths.socket(), None);
    endpoint.locate(&client).ok()?;
    let asked = async {
        let vms = async || {
            let vms = client.vms().await.ok()?;
            let named = vms
                .into_iter()
                .map(|vm| (vm.name.to_string(), vm.state.to_string()));
            Some(named.collect::<Vec<_>>())
        };
        match kind {
            Kind::Vm => vms().await,
            Kind::Label => {
                let vms = client.vms().await.ok()?;
                let labels = vms.iter().flat_map(|vm| {
                    let label = |(key, value)| format!("{key}={value}");
                    vm.labels.iter().map(label)
                });
                let labels: BTreeSet<String> = labels.collect();
                Some(
                    labels
                        .into_iter()
                        .map(|label| (label, String::new()))
                        .collect(),
                )
            }
            Kind::Place => {
                let places = vms().await?.into_iter();
                Some(
                    places
                        .map(|(name, state)| (format!("{name}:"), state))
                        .collect(),
                )
            }
            Kind::Image => {
                let images = client.images().await.ok()?.into_iter();
                Some(
                    images
                        .map(|image| (image.name.to_string(), String::new()))
                        .collect(),
                )
            }
            Kind::Kernel => {
                let kernels = client.kernels().await.ok()?.into_iter();
                Some(
                    kernels
                        .map(|kernel| (kernel.name.to_string(), kernel.version))
                        .collect(),
                )
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_that_names_a_thing_looks_names_up() {
        fn count(command: &clap::Command) -> usize {
            let own = command
                .get_arguments()
                .filter(|argument| argument.get::<ArgValueCompleter>().is_some());
            own.count() + command.get_subcommands().map(count).sum::<usize>()
        }
        let command = command();
        assert!(count(&command) > 30, "{}", count(&command));
        let exec = command.find_subcommand("exec").unwrap();
        let vm = exec
            .get_arguments()
            .find(|argument| argument.get_id() == "vm")
            .unwrap();
        assert!(vm.get::<ArgValueCompleter>().is_some());
    }

    #[test]
    fn every_shell_has_a_script_that_asks_this_program() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            write_script(shell.name(), &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains(ASKS), "{script}");
            assert!(sourcing(shell).contains("banger"));
        }
        assert!(write_script("tcsh", &mut Vec::new()).is_err());
    }
}
