//! `banger vm workspace export`

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use banger_api::vm::Vm;
use banger_api::{ApiError, ErrorCode};
use banger_workspace::patch::Approval;
use banger_workspace::{ApplyError, Filtered};

use crate::commands::vm::change::find;
use crate::context::Context;
use crate::failure::{Failure, Outcome, chain};
use crate::output::sanitize::harmless;
use crate::view::workspace::{Applied, Written};
use crate::workspace::{
    Against, Exported, needs_consent, pathspec, say, say_filtered, say_where, shown, write_whole,
};

/// Arguments of `banger vm workspace export`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A binary-safe patch of everything that changed in the guest since the repository was sent: files that are \
new, changed or gone, modes, and what was committed there. Neither the guest's index nor its files are \
touched. A patch that names paths outside the repository, a .git or anything behind a link is refused; one \
that makes programs or links, or touches files that other programs or agents obey by themselves, needs \
--allow PATH or --allow-exec. Paths are relative to the current folder inside the repository.

Examples:
  banger vm workspace export web | git apply
  banger vm workspace export web --base-commit -o w.patch  with its commits
  banger vm workspace export web --apply                   here, at once
  banger vm workspace export web --exclude .venv --allow .github -- .
  banger vm workspace export web --format mbox | git am    commits, as mails")]
pub struct Args {
    /// patch: one for all; mbox: a mail for each commit that was made there, and nothing that was not committed
    #[arg(long, value_enum, default_value_t = Format::Patch)]
    format: Format,
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Apply the patch to the repository here, whatever the current folder and its content filters are
    #[arg(long, conflicts_with_all = ["output", "base_commit"])]
    apply: bool,
    /// Approve of this path, and all below it: new programs, links, files that other programs or agents obey; may be
    /// repeated
    #[arg(long, value_name = "PATH")]
    allow: Vec<OsString>,
    /// Approve of all of them
    #[arg(long)]
    allow_exec: bool,
    /// The VM: its name, its id or the start of its id
    vm: String,
    #[command(flatten)]
    against: Against,
}

/// Content that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One patch.
    Patch,
    /// A mail for each commit.
    Mbox,
}

/// Writes the patch.
///
/// # Errors
/// Nothing was sent, the guest's git fails, or the patch is refused.
pub async fn run(args: Args, context: &Context) -> Outcome {
    if context.output.json() && args.output.is_none() {
        return Err(Failure::usage(
            "--json needs -o FILE: a patch may hold any bytes",
        ));
    }
    if args.apply && args.format == Format::Mbox {
        return Err(Failure::usage(
            "--apply takes a patch: pipe mails into git am",
        ));
    }
    let vm = find(&args.vm, context).await?;
    let reference = vm.id.to_string();
    let mut interrupts = context.interrupts()?;
    let filtered = match args.apply {
        true => Filtered::AsSent,
        false => Filtered::Cleaned,
    };
    let exporting = async {
        match args.format {
            Format::Patch => args.against.patch(&reference, filtered, context).await,
            Format::Mbox => args.against.mbox(&reference, context).await,
        }
    };
    let exported = tokio::select! {
        exported = exporting => exported?,
        by = interrupts.next() => return Err(Failure::interrupted_by(by, "interrupted; nothing was written")),
    };
    let approval = Approval {
        all: args.allow_exec,
        paths: pathspec(&args.allow, &[], None)?,
    };
    needs_consent(&exported.patch, &approval)?;
    say(&vm, &exported, context);
    if args.apply {
        return apply(&vm, exported, context).await;
    }
    say_filtered(&exported, context);
    match &args.output {
        Some(path) => {
            write_whole(path, &exported.bytes)?;
            let written = Written::of(&vm, &exported, path);
            if context.output.json() {
                return context.output.print(&written);
            }
            context.output.note(&written.told());
        }
        // What a terminal shows is not applied: there it must be harmless rather than exact.
        None if std::io::stdout().is_terminal() => {
            let text = String::from_utf8_lossy(&exported.bytes);
            context.output.data(harmless(&text).as_bytes())?;
        }
        None => {
            if args.format == Format::Patch {
                say_where(&exported, context);
            }
            context.output.data(&exported.bytes)?;
        }
    }
    Ok(0)
}

/// Applies it to the host's repository: all or nothing.
async fn apply(vm: &Vm, exported: Exported, context: &Context) -> Outcome {
    let applied = Applied::of(vm, &exported, &exported.record.head.source);
    self::applied(exported).await?;
    if context.output.json() {
        return context.output.print(&applied);
    }
    if !applied.is_empty() {
        context.output.note(&applied.told());
    }
    Ok(0)
}

/// Changes the host's repository as a patch says: all or nothing.
///
/// # Errors
/// The patch does not fit.
pub async fn applied(exported: Exported) -> Result<(), Failure> {
    if exported.patch.files.is_empty() {
        return Ok(());
    }
    let source = exported.record.head.source.clone();
    let applying = tokio::task::spawn_blocking(move || {
        banger_workspace::apply(&exported.record, &exported.patch, &exported.bytes)
    });
    match applying.await {
        Ok(applied) => applied.map_err(|error| not_applied(&error, &source)),
        Err(panic) => Err(ApiError::new(ErrorCode::Internal, panic.to_string()).into()),
    }
}

fn not_applied(error: &ApplyError, source: &str) -> Failure {
    let ApplyError::Conflict { paths, why } = error else {
        return ApiError::new(ErrorCode::HostNotReady, chain(error)).into();
    };
    let message = match paths.is_empty() {
        true => format!("the patch does not fit {source}: {why}"),
        false => format!(
            "the patch does not fit {source}: these are not as they were sent: {}",
            paths
                .iter()
                .map(|path| shown(path))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    ApiError::new(ErrorCode::WrongState, message)
        .hint("nothing was changed; commit or stash what is here, or --exclude such paths")
        .into()
}
