//! `banger vm workspace prepare`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use banger_api::vm::NetMode;

use super::watching::Watching;
use crate::commands::vm::change::find;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::watching::{Entry, Event};
use crate::view::workspace::{Listing, Prepared};
use crate::workspace::{Outgoing, RepositoryFlags, SourceFlags};

/// Arguments of `banger vm workspace prepare`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The repository arrives at /root/NAME with its branch, its last commits and what is not committed. Ignored \
files, hooks and credentials stay here. A second time only what changed goes, and work that was done in the \
guest is never written over without --force. Of its devcontainer.json the user, the variables and what \
runs once are used; tools that it pins are installed when that has not been done yet.

With --watch it goes on: what is saved here is in the guest a moment later, and a line tells of it. What is \
changed on both sides is held back. With --json each line is an object, whose \"event\" is sent, watching or \
held_back.

Examples:
  banger vm workspace prepare web              the repository around here
  banger vm workspace prepare web ~/src/api --depth full
  banger vm workspace prepare web . --branch try --from v1.2
  banger vm workspace prepare web ~/b/api --as api2
  banger vm workspace prepare web . --dry-run  what would go
  banger vm workspace prepare web --watch      saves here are seen there")]
pub struct Args {
    #[command(flatten)]
    source: SourceFlags,
    #[command(flatten)]
    repository: RepositoryFlags,
    /// User that commands run as there, and who owns the workspace [default: the devcontainer.json's, else the image's]
    #[arg(short, long, value_name = "USER", help_heading = None)]
    user: Option<String>,
    /// Write over work that was done in the guest
    #[arg(short, long, help_heading = None)]
    force: bool,
    /// Go on sending what changes here, until Ctrl-C
    #[arg(long, help_heading = None, conflicts_with_all = ["force", "dry_run", "from"])]
    watch: bool,
    /// The VM: its name, its id or the start of its id
    #[arg(help_heading = None)]
    vm: String,
    /// A folder of the repository
    #[arg(default_value = ".", help_heading = None)]
    path: PathBuf,
}

/// Sends the repository and says what went.
///
/// # Errors
/// It cannot go, or the guest has work there that would be lost.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let dry_run = args.source.dry_run;
    let (watch, name) = (args.watch, args.source.as_name.clone());
    let (began, watched_as) = (Instant::now(), name.clone());
    let mut interrupts = context.interrupts()?;
    let preparing = async {
        let survey = args.source.survey(&args.path, context).await?;
        let mut outgoing = Outgoing::new(Arc::clone(&survey), name.as_deref())?;
        let mut requests = args
            .repository
            .requests(&survey, outgoing.dest(), context)
            .await?;
        requests.user = args.user;
        outgoing.with(&requests);
        if dry_run {
            let listing = Listing::of(outgoing.survey(), outgoing.dest(), &requests);
            return context.output.print(&listing).map(|_| None);
        }
        let vm = find(&args.vm, context).await?;
        let reaches_out = requests.reaches_out(vm.net, vm.egress, context);
        match vm.net {
            NetMode::None => requests.no_ports(context),
            NetMode::User => requests.warn_of_ports(&vm, context),
        }
        let sent = outgoing
            .update(&vm.id.to_string(), args.force, context)
            .await?;
        let (_, done) = requests.set_up(&vm, &sent, reaches_out, context).await?;
        match watch && context.output.json() {
            true => {
                let event = Event::Sent(&sent, began.elapsed(), done);
                let entry = Entry::of(&vm, outgoing.dest(), &event);
                context.output.entry(&entry)?;
            }
            false => drop(context.output.print(&Prepared::of(&vm, &sent, done))?),
        }
        Ok::<_, Failure>(Some((vm, survey)))
    };
    let prepared = tokio::select! {
        prepared = preparing => prepared?,
        by = interrupts.next() => return Err(Failure::interrupted_by(by,
            "interrupted; the same command again sends what is missing",
        )),
    };
    match prepared.filter(|_| watch) {
        Some((vm, survey)) => {
            let watching = Watching::new(&vm, survey, watched_as, context)?;
            watching.run(&mut interrupts).await
        }
        None => Ok(0),
    }
}
