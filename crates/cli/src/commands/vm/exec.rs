//! `banger vm exec`

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use banger_api::vm::Exec;
use banger_client::{ExecSession, Started};

use super::{checkpoint, detached};
use crate::attach::output::{KeptOutput, Sink};
use crate::attach::{Attach, attach, failure};
use crate::context::Context;
use crate::env_file::Variable;
use crate::failure::{Failure, Outcome};
use crate::signals::Interrupts;
use crate::view::executed::Executed;
use crate::{duration, env_file, lost_guest, terminal, workspace};

/// Arguments of `banger vm exec`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Without a command it opens a shell, or reads a script from standard input; in an image without a shell it \
runs the image's own command. Environment, user and directory are the image's unless they are given. Options \
for banger stand before the VM; all that follows the VM belongs to the command. Neither network nor sshd is \
needed in the guest.

Standard input is the command's, as if it ran here: what it does not read stays for the next one. A terminal \
or a device is read as it comes. With --no-stdin none is sent.

The exit code is the command's own, 128 + n when signal n ended it, 127 when there is no such program, 126 \
when it may not be run, 124 when its time was up. Failures of banger itself are 125, or 2 to 5 as everywhere.

Ctrl-C and SIGTERM go to the command; a second one leaves it, and so does a guest that does not answer within \
5 seconds.

With --json the result is one object: exit_code, stdout, stderr, timed_out, and signal when one ended it. Of \
each stream 16 MiB are kept, and stdout_truncated says when there was more; bytes that are not UTF-8 are in \
stdout_base64 as well (and stderr likewise).

Examples:
  banger exec web                        a shell
  banger exec web systemctl status nginx
  banger exec -w /srv -e DEBUG=1 web make test
  banger exec -it web top                a program that needs a terminal
  banger exec -e TOKEN web ./deploy      TOKEN as it is here
  banger exec --env-file .env web ./deploy
  banger exec --timeout 10m web make test
  banger exec --json web -- ls /srv
  banger exec --image-command web        the image's own command
  banger exec --checkpoint web ./upgrade  keeps a way back
  tar c . | banger exec web tar x -C /srv
  while read h; do banger exec web ping -c1 $h; done < hosts
  banger exec --detach web -- make -j4   prints a number, as 1
  banger exec --attach 1 web             its output so far, and on
  banger exec --list web")]
pub struct Args {
    #[command(flatten)]
    environment: Environment,
    #[command(flatten)]
    detached: detached::Args,
    #[command(flatten)]
    choice: workspace::Choice,
    /// Make a checkpoint of the VM before; `vm checkpoint restore` undoes what the command does to its disks
    #[arg(long, conflicts_with_all = ["list", "attach", "wait"])]
    checkpoint: bool,
    /// The VM: its name, its id or the start of its id
    #[arg(help_heading = None)]
    vm: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, value_name = "CMD", help_heading = None)]
    command: Vec<String>,
}

/// Arguments of a command in a guest, which `run` and `exec` share.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "The command")]
pub struct Environment {
    /// Give the command a terminal; a shell at a terminal has one anyway
    #[arg(short, long)]
    tty: bool,
    /// Send standard input; done in any case, for the habit of -it
    #[arg(short, long)]
    interactive: bool,
    /// Send no standard input
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    no_stdin: bool,
    /// Set a variable for the command; NAME alone takes the value that it has here
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = variable)]
    env: Vec<Variable>,
    /// Set the variables of a file, one NAME[=VALUE] a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory in the guest [default: the workspace, the image's, or the user's home]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User in the guest, as name or number[:group] [default: the image's, else root]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Run the image's own command: its entry point, with CMD as its arguments when there is one
    #[arg(long)]
    image_command: bool,
    /// End the command and all that it has started after this time, as 90s or 5m; the exit code is then 124
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

impl Environment {
    /// The user that was named.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Tells whether a shell is meant.
    pub fn is_shell(&self, command: &[String]) -> bool {
        command.is_empty() && !self.image_command
    }

    /// The request to run a command, a shell when there is none.
    ///
    /// # Errors
    /// A file of variables cannot be read, or a variable of this host cannot be passed on.
    pub fn exec(
        self,
        command: Vec<String>,
        then_delete: bool,
        context: &Context,
    ) -> Result<Exec, Failure> {
        let _habit = self.interactive;
        let at_terminal = terminal::is_interactive() && !context.output.json() && !self.no_stdin;
        let tty = self.tty || (self.is_shell(&command) && at_terminal);
        let mut variables = Vec::new();
        for path in &self.env_file {
            variables.extend(env_file::read(path)?);
        }
        variables.extend(self.env);
        let mut env = std::collections::BTreeMap::new();
        for (name, value) in variables {
            match value.map_or_else(|| value_here(&name), |value| Ok(Some(value)))? {
                Some(value) => env.insert(name, value),
                // As Docker has it: what is not set here is not set there.
                None => env.remove(&name),
            };
        }
        Ok(Exec {
            argv: command,
            image_command: self.image_command,
            cwd: self.workdir,
            user: self.user,
            env,
            terminal: tty.then(terminal::size),
            term: tty.then(|| env::var("TERM").ok()).flatten(),
            stdin: !self.no_stdin,
            timeout_ms: self
                .timeout
                .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            then_delete,
        })
    }
}

fn value_here(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            let message = format!("the value of {name} is not UTF-8: a guest cannot be given it");
            Err(Failure::usage(message))
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
        let followed = detached::follow(vm, id, args.detached.attach.is_some(), context).await;
        let followed = lost_guest::explain(followed, vm, context).await;
        return followed.map_err(Failure::beside_a_command);
    }
    let mut exec = args.environment.exec(args.command, false, context)?;
    workspace::surround(vm, &args.choice, &mut exec, context).await?;
    if args.checkpoint {
        let made = checkpoint::create::make(vm, None, context).await;
        made.map_err(Failure::beside_a_command)?;
    }
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
    enter_then(reference, exec, |_left| async {}, context).await
}

/// Runs a command in a VM at our standard streams, and then does something before the connection ends: a VM that goes
/// with its run is there until then. It is told whether the user left the command.
///
/// # Errors
/// The command cannot be run, the connection broke, or the user left.
pub(super) async fn enter_then<F: Future<Output = ()>>(
    reference: &str,
    exec: Exec,
    then: impl FnOnce(bool) -> F,
    context: &Context,
) -> Outcome {
    let entered = run_here(reference, &exec, then, context).await;
    let entered = lost_guest::explain(entered, reference, context).await;
    entered.map_err(|failure| hint_at_shell(failure, reference, &exec.argv).beside_a_command())
}

async fn run_here<F: Future<Output = ()>>(
    reference: &str,
    exec: &Exec,
    then: impl FnOnce(bool) -> F,
    context: &Context,
) -> Outcome {
    let mut interrupts = context.interrupts()?;
    let json = context.output.json();
    let (session, started) = start(reference, exec, &mut interrupts, context).await?;
    let mut how = Attach::to(exec, started);
    // What is kept goes to no terminal.
    how.terminal &= !json;
    let mut sink = match json {
        true => Sink::Kept(KeptOutput::default()),
        false => Sink::streams()?,
    };
    let (mut events, input) = session.split();
    let end = attach(&mut events, Some(input), how, interrupts, &mut sink).await;
    then(end.is_err()).await;
    // The daemon takes the connection's end for the end of the run.
    drop(events);
    let end = end?;
    if let Sink::Kept(output) = sink {
        context.output.print(&Executed::new(end, output))?;
    }
    Ok(end.code())
}

/// Waits until the command runs. An interrupt before leaves at once: there is nothing yet that could hear it.
async fn start(
    reference: &str,
    exec: &Exec,
    interrupts: &mut Interrupts,
    context: &Context,
) -> Result<(ExecSession, Started), Failure> {
    let opened = context
        .session
        .change(|client| async move { client.exec(reference, exec).await });
    let starting = async {
        let mut session = opened.await?;
        let started = session.started().await;
        let started = started.map_err(|error| failure(&error).about(reference))?;
        Ok((session, started))
    };
    tokio::select! {
        started = starting => started,
        by = interrupts.next() => {
            Err(Failure::interrupted_by(by, "interrupted before the command had started"))
        }
    }
}

/// A whole line as the name of a program is meant for a shell.
fn hint_at_shell(failure: Failure, reference: &str, argv: &[String]) -> Failure {
    match argv {
        [line] if failure.exit_code() == 127 && line.contains(char::is_whitespace) => failure.hint(
            &format!("banger exec {reference} sh -c '…' has a shell read it"),
        ),
        _ => failure,
    }
}

fn variable(text: &str) -> Result<Variable, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    match name.is_empty() {
        false => Ok((name.to_owned(), value)),
        true => Err("write NAME=VALUE, or NAME for the value that it has here".to_owned()),
    }
}
