//! `banger vm workspace export`

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use banger_api::ApiError;

use crate::commands::vm::change::find;
use crate::context::Context;
use crate::failure::{Failure, Outcome, host_error};
use crate::output::sanitize::harmless;
use crate::view::workspace::Written;
use crate::workspace::{Against, needs_consent};

/// Arguments of `banger vm workspace export`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A binary-safe patch of everything that changed in the guest since the repository was sent: files that are \
new, changed or gone, modes, and what was committed there. Neither the guest's index nor its files are \
touched. A patch that names paths outside the repository, a .git or anything behind a link is refused; one \
that makes programs needs --allow-exec.

Examples:
  banger vm workspace export web | git apply
  banger vm workspace export web --base-commit -o w.patch  with its commits
  banger vm workspace export web --format mbox | git am    commits, as mails")]
pub struct Args {
    #[command(flatten)]
    against: Against,
    /// patch: one for all; mbox: a mail for each commit that was made there, and nothing that was not committed
    #[arg(long, value_enum, default_value_t = Format::Patch)]
    format: Format,
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Take new programs, and files that other programs obey
    #[arg(long)]
    allow_exec: bool,
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// What is written.
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
    let vm = find(&args.vm, context).await?;
    let reference = vm.id.to_string();
    let mut interrupts = context.interrupts()?;
    let coming = async {
        match args.format {
            Format::Patch => args.against.patch(&reference, context).await,
            Format::Mbox => args.against.mbox(&reference, context).await,
        }
    };
    let exported = tokio::select! {
        exported = coming => exported?,
        by = interrupts.next() => return Err(Failure::interrupted_by(by, "interrupted; nothing was written")),
    };
    needs_consent(&exported.patch, args.allow_exec)?;
    match &args.output {
        Some(path) => {
            write(path, &exported.bytes)?;
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
        None => context.output.data(&exported.bytes)?,
    }
    Ok(0)
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ApiError> {
    let cannot = |source| host_error(format!("cannot write {}", path.display()), &source);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".partial-{}", std::process::id()));
    let written = std::fs::File::create(&beside)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
        cannot(source)
    })
}
