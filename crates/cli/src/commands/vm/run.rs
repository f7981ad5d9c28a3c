//! `banger vm run`
//!
//! ```text
//! PATH ──► survey, refusals ──► packs in the making ─┐
//! create and start ──► running ──► the repository ◄──┘ ──► exec ──► its exit code ──► with --rm: work that is only there is
//!        │                                                                          named or kept; gone, whatever happened
//!        └──► error: undone, or with --rm kept for its log when the guest never answered
//! ```
//!
//! A VM that exists under the name is gone into instead: `existing.rs`.

mod existing;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use banger_api::vm::{CreateVm, Vm};
use banger_api::{ApiError, ErrorCode, VmName};
use banger_client::ClientError;
use banger_workspace::{Head, Shipment};

use super::change::{find, of_name};
use super::create::make;
use super::exec::{Environment, enter_then};
use super::replacing::Replacing;
use super::spec::Spec;
use super::target::Target;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow};
use crate::progress::Progress;
use crate::timings::Timings;
use crate::view::vm::Changed;
use crate::view::workspace::Listing;
use crate::workspace::{
    Outgoing, RepositoryFlags, RepositoryRequests, SourceFlags, apply, keep_left_work,
};

/// Arguments of `banger vm run`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Without a command it opens a shell, or reads a script from standard input; in an image without a shell it \
runs the image's own command. With one it runs it there, with the image's environment, user and directory, \
and exits with its code (128 + n when signal n ended it). Leaving does not stop the VM unless --rm is given.

With --name of a VM that exists it goes into that one: it is started when it does not run, a PATH is brought up \
to date there as by vm workspace prepare, and settings that the VM does not have are refused.

With PATH, a folder of a git repository, the repository is at /root/NAME and the shell or command starts \
there: with its branch, its last commits and what is not committed. Ignored files, hooks and credentials \
stay here. Its devcontainer.json says which image, user, variables and ports the VM gets, unless they are \
given here, and what runs there once; the tools that it pins (mise.toml, .tool-versions) are installed when \
the guest has mise or asdf.

IMAGE in the place of PATH is what --image takes: an image that is here, a recipe, a reference of a registry \
(pulled when it is not here), a layout or an archive. A folder that is there is a repository, a layout or a \
file an image; what begins with / or . is always a path; any other word that is not there is an image. The \
second bare word begins the command, with or without --.

Examples:
  banger run --rm                            a shell; the VM goes afterwards
  banger run --rm . -- make test             a command in this repository
  banger run --rm alpine echo hi             a command in a container image
  banger run --rm --export p.patch . -- make fix   what it changed, as a patch
  banger run ~/src/api --branch try          a shell in one, on a new branch
  banger run --rm -- uname -a                one command
  banger run --name web --publish 8080:80    a VM to come back to
  banger run --name web                      back into it
  banger run --detach --name db --memory 4G  only start it
  banger run --rm < script.sh                a script
  banger run --image web --image-command     the image's own command")]
pub struct Args {
    #[command(flatten)]
    spec: Spec,
    #[command(flatten)]
    replacing: Replacing,
    /// Delete the VM when the command ends, whatever its code
    #[arg(long, help_heading = None)]
    rm: bool,
    /// With --rm: write what changed in the repository there to this patch
    #[arg(long, value_name = "FILE", requires = "rm", requires = "target", help_heading = None)]
    export: Option<PathBuf>,
    /// Start the VM and return
    #[arg(short, long, help_heading = None, conflicts_with_all = ["rm", "tty", "interactive", "no_stdin", "env", "env_file", "workdir", "user", "image_command", "timeout", "command"])]
    detach: bool,
    #[command(flatten)]
    environment: Environment,
    #[command(flatten)]
    source: SourceFlags,
    #[command(flatten)]
    repository: RepositoryFlags,
    /// A git repository that goes into the VM, or the image that it is made of
    #[arg(value_name = "PATH|IMAGE", help_heading = None)]
    target: Option<OsString>,
    /// Tell on standard error how long each stage took
    #[arg(long, help_heading = None)]
    timings: bool,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD", id = "command", help_heading = None)]
    command: Vec<String>,
}

/// Creates, starts and enters a VM.
///
/// # Errors
/// The VM cannot be made, or the command cannot be run in it.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let timings = Timings::default();
    let show = args.timings;
    let enters = !args.detach && !args.source.dry_run;
    let result = whole(args, context, &timings).await;
    if show {
        timings.show(&context.output);
    }
    match enters {
        true => result.map_err(Failure::beside_a_command),
        false => result,
    }
}

async fn whole(args: Args, context: &Context, timings: &Timings) -> Outcome {
    let dry_run = args.source.dry_run;
    let mut spec = args.spec;
    let path = match args.target.as_deref().map(Target::of).transpose()? {
        Some(Target::Repository(path)) => Some(path),
        Some(Target::Image(image)) => {
            spec.made_of(image)?;
            None
        }
        None => None,
    };
    let existing = match spec.name() {
        Some(name) if !args.replacing.is_asked() => of_name(name, context).await?,
        _ => None,
    };
    if let Some(vm) = &existing {
        if args.rm {
            return Err(existing::refuse_rm(vm));
        }
        spec.fits(vm, context).await?;
    }
    let user = args.environment.user().map(str::to_owned);
    let outgoing = outgoing(path, (args.source, args.repository), user, context).await?;
    if let (Some((_, requests)), None) = (&outgoing, &existing) {
        spec.fill(requests, context).await?;
    }
    let (net, egress) = match &existing {
        Some(vm) => (vm.net, vm.egress),
        None => spec.connection(),
    };
    let told = outgoing
        .as_ref()
        .is_some_and(|(_, requests)| !requests.reaches_out(net, egress, context));
    if dry_run {
        let (outgoing, requests) = outgoing.ok_or_else(needs_path("--dry-run"))?;
        return context
            .output
            .print(&Listing::of(outgoing.survey(), outgoing.dest(), &requests));
    }
    let is_shell = args.environment.is_shell(&args.command);
    let mut exec = args.environment.exec(args.command, args.rm, context)?;
    if let Some(vm) = existing {
        let going = Going {
            detach: args.detach,
            is_shell,
            told,
        };
        return existing::go_in(vm, outgoing, exec, going, timings, context).await;
    }
    let replace = args.replacing.agreed(spec.name(), context).await?;
    spec.pull(context).await?;
    let shipment = outgoing.as_ref().map(|(outgoing, _)| outgoing.start());
    let create = CreateVm {
        replace,
        ..spec.into_request(true, args.rm)?
    };
    let (vm, made) = make(&create, context, timings).await?;
    let mut head = None;
    if let Some(((outgoing, requests), shipment)) = outgoing
        .zip(shipment)
        .filter(|_| made.interrupted.is_none())
    {
        let arrived = Arriving {
            vm: &vm,
            outgoing: &outgoing,
            requests: &requests,
            told,
            context,
        };
        match arrived.whole(shipment, timings).await {
            Ok(written) => head = Some(written),
            Err((failure, state)) => return leave(&vm, args.rm, failure, state, context).await,
        }
    }
    if args.detach {
        let vm = find(&vm.id.to_string(), context).await?;
        return context.output.print(&Changed(vm));
    }
    let entered = Instant::now();
    let result = match made.interrupted {
        Some(by) => Err(Failure::interrupted_by(by, "interrupted")),
        None => {
            let left = head.clone().filter(|_| args.rm);
            if let Some(head) = head {
                apply(head, &mut exec);
            }
            let (vm, export) = (&vm, args.export.as_deref());
            let then = |user_left: bool| async move {
                if let Some(head) = left {
                    keep_left_work(vm, &head, export, user_left, context).await;
                }
            };
            enter_then(&vm.id.to_string(), exec, then, context).await
        }
    };
    timings.since("exec", entered);
    if args.rm {
        let removing = Instant::now();
        context.forget_interrupts();
        remove(&vm, context).await;
        timings.since("delete", removing);
    } else if is_shell || result.is_err() {
        say_how_to_come_back(&vm.name, context);
    }
    result
}

/// Way of going into a VM that exists.
struct Going {
    /// It is only started, and gets the repository.
    detach: bool,
    /// A shell is meant.
    is_shell: bool,
    /// The user knows that the VM has no outbound network.
    told: bool,
}

fn say_how_to_come_back(name: &VmName, context: &Context) {
    context.output.note(&format!(
        "VM {name} keeps running: banger exec {name} to come back, banger vm stop {name} to stop it"
    ));
}

/// The repository that goes in, and what its files ask for, looked at before anything exists.
async fn outgoing(
    path: Option<PathBuf>,
    (source, repository): (SourceFlags, RepositoryFlags),
    user: Option<String>,
    context: &Context,
) -> Result<Option<(Outgoing, RepositoryRequests)>, Failure> {
    match path {
        Some(path) => {
            let source_name = source.as_name.clone();
            let survey = source
                .survey(&path, context)
                .await
                .map_err(|failure| with_word_on_mounts(&path, failure))?;
            let mut outgoing = Outgoing::new(Arc::clone(&survey), source_name.as_deref())?;
            let mut requests = repository
                .requests(&survey, outgoing.dest(), context)
                .await?;
            requests.user = user;
            outgoing.with(&requests);
            Ok(Some((outgoing, requests)))
        }
        None => match source.given().or(repository.given()) {
            Some(argument) => Err(needs_path(argument)()),
            None => Ok(None),
        },
    }
}

/// A path that is none may be the volume of a container engine's `-v HOST:GUEST`.
fn with_word_on_mounts(path: &Path, failure: Failure) -> Failure {
    if !path.to_string_lossy().contains(":/") || path.exists() {
        return failure;
    }
    failure.hint(
        "no folder of the host is mounted in a VM (-v tells more while it works): PATH is a repository whose files are sent, \
         banger cp copies others",
    )
}

fn needs_path(argument: &str) -> impl Fn() -> Failure {
    move || {
        let message = format!("{argument} needs PATH, a folder of a git repository");
        let error = ApiError::new(ErrorCode::InvalidArgument, message);
        error.hint("banger run --help has examples").into()
    }
}

/// A repository on its way into a VM that was just made.
struct Arriving<'a> {
    vm: &'a Vm,
    outgoing: &'a Outgoing,
    requests: &'a RepositoryRequests,
    /// The user knows that the VM has no outbound network.
    told: bool,
    context: &'a Context,
}

/// Hint for a VM whose repository did not get where it should.
type Without = &'static str;

impl Arriving<'_> {
    async fn whole(
        &self,
        shipment: Shipment,
        timings: &Timings,
    ) -> Result<Head, (Failure, Without)> {
        let (context, reference) = (self.context, self.vm.id.to_string());
        let mut without = "the repository";
        let arriving = async {
            let sending = Instant::now();
            let sent = self.outgoing.whole(&reference, shipment, context).await;
            timings.since("send repository", sending);
            let sent = sent?;
            without = "all that the repository asks for";
            let reaches_out = !self.told
                && self
                    .requests
                    .reaches_out(self.vm.net, self.vm.egress, context);
            let setting_up = Instant::now();
            let done = self
                .requests
                .set_up(self.vm, &sent, reaches_out, context)
                .await;
            timings.since("set up workspace", setting_up);
            done.map(|(head, _)| head)
        };
        let mut interrupts = context
            .interrupts()
            .map_err(|failure| (failure, "the repository"))?;
        let arrived = tokio::select! {
            arrived = arriving => arrived,
            by = interrupts.next() => {
                let message = format!("interrupted before the VM had {without}");
                Err(Failure::interrupted_by(by, message))
            }
        };
        arrived.map_err(|failure| (failure, without))
    }
}

/// The repository is not in place: a VM that was made for it alone goes, another one is there for another try.
async fn leave(
    vm: &Vm,
    remove_it: bool,
    failure: Failure,
    without: Without,
    context: &Context,
) -> Outcome {
    if remove_it {
        context.forget_interrupts();
        remove(vm, context).await;
        if failure.is(ErrorCode::GuestFailed) {
            return Err(failure.hint("the VM is gone; without --rm it stays, to be looked into"));
        }
    } else {
        let name = &vm.name;
        context.output.note(&format!(
            "VM {name} keeps running without {without}: banger vm workspace prepare {name} PATH tries again"
        ));
    }
    Err(failure)
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
