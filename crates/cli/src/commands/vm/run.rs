//! `banger vm run`
//!
//! ```text
//! create and start ──► running ──► exec ──► its exit code ──► with --rm: gone, whatever happened
//!        └──► error: undone, or with --rm kept for its log when the guest never answered
//! ```

use std::time::Instant;

use banger_api::ErrorCode;
use banger_api::vm::Vm;
use banger_client::ClientError;

use super::change::find;
use super::create::make;
use super::exec::{Environment, enter};
use super::spec::Spec;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow};
use crate::progress::Progress;
use crate::timings::Timings;
use crate::view::vm::Changed;

/// Arguments of `banger vm run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a command it opens a shell, or reads a script from standard input; in an image without a shell it runs the image's
own command. With one it runs it there, with the image's environment, user and directory, and exits with its code (128 + n
when signal n ended it). Leaving does not stop the VM unless --rm is given.

Examples:
  banger run --rm                            a shell in a VM that is gone afterwards
  banger run --rm -- uname -a                one command
  banger run --name web --publish 8080:80    a VM to come back to: banger exec web
  banger run --detach --name db --memory 4G  only start it
  banger run --rm < script.sh                a script
  banger run --image web --image-command     what the image runs, as a container would")]
pub struct Args {
    #[command(flatten)]
    spec: Spec,
    /// Delete the VM when the command ends, whatever its code
    #[arg(long)]
    rm: bool,
    /// Start the VM and return
    #[arg(short, long, conflicts_with_all = ["rm", "tty", "env", "workdir", "user", "image_command", "command"])]
    detach: bool,
    #[command(flatten)]
    environment: Environment,
    /// Tell on standard error how long each stage took
    #[arg(long)]
    timings: bool,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD", id = "command")]
    command: Vec<String>,
}

/// Creates, starts and enters a VM.
///
/// # Errors
/// The VM cannot be made, or the command cannot be run in it.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let timings = Timings::default();
    let show = args.timings;
    let result = whole(args, context, &timings).await;
    if show {
        timings.show(&context.output);
    }
    result
}

async fn whole(args: Args, context: &Context, timings: &Timings) -> Outcome {
    args.spec.pull(context).await?;
    let create = args.spec.into_request(true, args.rm);
    let (vm, made) = make(&create, context, timings).await?;
    if args.detach {
        let vm = find(&vm.id.to_string(), context).await?;
        return context.output.print(&Changed(vm));
    }
    let entered = Instant::now();
    let is_shell = args.environment.is_shell(&args.command);
    let result = if made.interrupted {
        Err(Failure::interrupted("interrupted"))
    } else {
        let exec = args.environment.exec(args.command, args.rm);
        enter(&vm.id.to_string(), exec, context).await
    };
    timings.since("exec", entered);
    if args.rm {
        let removing = Instant::now();
        context.forget_interrupts();
        remove(&vm, context).await;
        timings.since("delete", removing);
    } else if is_shell || result.is_err() {
        let name = &vm.name;
        context.output.note(&format!(
            "VM {name} keeps running: banger exec {name} to come back, banger vm stop {name} to stop it"
        ));
    }
    result
}

/// Deletes the VM; the daemon does so by itself, too, when the command ends, and both are one deletion.
async fn remove(vm: &Vm, context: &Context) {
    let result = async {
        let reference = &vm.id.to_string();
        let accepted = context
            .session
            .change(|client| async move { unless_gone(client.delete_vm(reference, true).await) })
            .await?;
        let Some(accepted) = accepted else {
            return Ok(());
        };
        let progress = Progress::new(&context.output);
        follow(context, &progress, accepted.operation, None, How::wanted()).await?;
        Ok(())
    };
    let Err::<(), Failure>(failure) = result.await else {
        return;
    };
    if let Some(error) = failure.error()
        && error.code != ErrorCode::NotFound
    {
        let name = &vm.name;
        context.output.warn(&format!(
            "VM {name} is still there: {error}; banger rm --force {name} deletes it"
        ));
    }
}

fn unless_gone<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Api(error)) if error.code == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
