//! `banger vm exec`

use std::env;

use banger_api::vm::Exec;

use super::detached;
use crate::attach::{Attach, attach};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::terminal;
use crate::workspace;

/// Arguments of `banger vm exec`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Without a command it opens a shell, or reads a script from standard input; in an image without a shell it \
runs the image's own command. Environment, user and directory are the image's unless they are given. The \
exit code is the command's own, 128 + n when signal n ended it, 127 when there is no such program. Neither \
network nor sshd is needed in the guest.

Examples:
  banger exec web                       a shell
  banger exec web -- systemctl status nginx
  banger exec -w /srv -e DEBUG=1 web -- make test
  banger exec -t web -- top             a program that needs a terminal
  banger exec --image-command web       the image's own command
  tar c . | banger exec web -- tar x -C /srv
  banger exec --detach web -- make -j4  prints a number, as 1
  banger exec --attach 1 web            its output so far, and on
  banger exec --list web")]
pub struct Args {
    #[command(flatten)]
    environment: Environment,
    /// Send standard input; done in any case, for the habit of -it
    #[arg(short, long, help_heading = None)]
    interactive: bool,
    #[command(flatten)]
    detached: detached::Args,
    /// The VM: its name, its id or the start of its id
    #[arg(help_heading = None)]
    vm: String,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD", help_heading = None)]
    command: Vec<String>,
}

/// What a command in a guest is given: the arguments that `run` and `exec` share.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "The command")]
pub struct Environment {
    /// Give the command a terminal; a shell at a terminal has one anyway
    #[arg(short, long)]
    tty: bool,
    /// Set a variable for the command
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Working directory in the guest [default: the workspace, the image's, or the user's home]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User in the guest, as name or number[:group] [default: the image's, else root]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Run the image's own command: its entry point, with CMD as its arguments when there is one
    #[arg(long)]
    image_command: bool,
}

impl Environment {
    /// Whether a shell is meant.
    pub fn is_shell(&self, command: &[String]) -> bool {
        command.is_empty() && !self.image_command
    }

    /// The request to run a command, a shell when there is none.
    pub fn exec(self, command: Vec<String>, then_delete: bool) -> Exec {
        let at_terminal = terminal::is_interactive();
        let tty = self.tty || (self.is_shell(&command) && at_terminal);
        Exec {
            argv: command,
            image_command: self.image_command,
            cwd: self.workdir,
            user: self.user,
            env: self.env.into_iter().collect(),
            terminal: tty.then(terminal::size),
            term: tty.then(|| env::var("TERM").ok()).flatten(),
            stdin: true,
            then_delete,
        }
    }
}

/// Runs the command in the VM.
///
/// # Errors
/// There is no such VM, or the command cannot be run in it.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vm = &args.vm;
    if args.detached.list {
        return detached::list(vm, context).await;
    }
    if let Some(id) = args.detached.attach.or(args.detached.wait) {
        return detached::follow(vm, id, args.detached.attach.is_some(), context).await;
    }
    let _habit = args.interactive;
    let mut exec = args.environment.exec(args.command, false);
    workspace::surround(vm, &mut exec, context).await;
    if args.detached.detach {
        return detached::detach(vm, exec, context).await;
    }
    enter(vm, exec, context).await
}

/// Runs a command in a VM at our standard streams.
///
/// # Errors
/// The command cannot be run, the connection broke, or the user left.
pub(super) async fn enter(reference: &str, exec: Exec, context: &Context) -> Outcome {
    let mut interrupts = context.interrupts()?;
    let how = Attach {
        terminal: exec.terminal.is_some(),
        stdin: exec.stdin,
        leave: false,
    };
    let exec = &exec;
    let opened = context
        .session
        .change(|client| async move { client.vm_exec(reference, exec).await });
    let stream = tokio::select! {
        stream = opened => stream?,
        _ = interrupts.next() => return Err(Failure::interrupted("interrupted")),
    };
    attach(stream, how, interrupts).await
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
