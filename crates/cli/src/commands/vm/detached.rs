//! `banger vm exec --detach`, `--list`, `--attach` and `--wait`

use banger_api::vm::Exec;

use banger_client::ExecInput;

use super::following::Following;
use crate::attach::output::{KeptOutput, Sink};
use crate::attach::{Attach, attach};
use crate::context::Context;
use crate::failure::Outcome;
use crate::view::detached::{Started, Table};
use crate::view::executed::Executed;

/// Actions on detached commands.
#[derive(Debug, Default, clap::Args)]
#[group(id = "detached", multiple = false)]
pub struct Args {
    /// Leave the command running, and print its number
    #[arg(long, requires = "command")]
    pub detach: bool,
    /// List the commands that were left running since the VM's start
    #[arg(long, conflicts_with_all = ["command", "tty"])]
    pub list: bool,
    /// Show what one of them has put out, and follow it to its end; Ctrl-C leaves it running
    #[arg(long, value_name = "ID", conflicts_with_all = ["command", "tty"])]
    pub attach: Option<u32>,
    /// Wait for the end of one of them
    #[arg(long, value_name = "ID", conflicts_with_all = ["command", "tty"])]
    pub wait: Option<u32>,
}

/// Starts a command and leaves it.
///
/// # Errors
/// It cannot be started.
pub async fn detach(reference: &str, exec: Exec, context: &Context) -> Outcome {
    let exec = &Exec {
        terminal: None,
        term: None,
        stdin: false,
        ..exec
    };
    let started = context
        .session
        .change(|client| async move { client.vm_detach(reference, exec).await })
        .await?;
    context.output.note(&format!(
        "follow it with: banger exec {reference} --attach {}",
        started.id
    ));
    context.output.print(&Started(started))
}

/// Lists detached commands.
///
/// # Errors
/// There is no such VM, or its guest does not answer.
pub async fn list(reference: &str, context: &Context) -> Outcome {
    let commands = context
        .session
        .read(|client| async move { client.vm_detached(reference).await })
        .await?;
    context.output.print(&Table(commands))
}

/// Follows a detached command; ends with its exit code.
///
/// # Errors
/// There is no such command, the guest does not answer, or the user left.
pub async fn follow(reference: &str, id: u32, output: bool, context: &Context) -> Outcome {
    let how = Attach {
        terminal: false,
        stdin: false,
        leave: true,
        reports: false,
        timeout: None,
    };
    let json = context.output.json();
    let mut sink = match json {
        true => Sink::Kept(KeptOutput::default()),
        false => Sink::streams()?,
    };
    let following = Following::new((reference, id, output), context);
    let none: Option<ExecInput> = None;
    let end = attach(following, none, how, context.interrupts()?, &mut sink).await?;
    if let Sink::Kept(output) = sink {
        context.output.print(&Executed::new(end, output))?;
    }
    Ok(end.code())
}
