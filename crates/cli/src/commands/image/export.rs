//! `banger image export`

use std::fs::Permissions;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::ByteSize;
use banger_api::operation::EventKind;

use crate::context::Context;
use crate::failure::{Failure, Outcome, host_error};
use crate::progress::Progress;
use crate::view::image::Exported;

/// Number of times that the progress is drawn.
const REDRAW: Duration = Duration::from_millis(200);
/// Mode of the file, less the user's mask.
const MODE: u32 = 0o666;

/// Arguments of `banger image export`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The archive has one layer and the image's own words about being run; other tools and `banger image pull \
FILE` take it. A work seed that is not the image's own /root is not part of it.

Examples:
  banger image export work -o work.tar
  banger image export work | ssh host 'cat > work.tar'")]
pub struct Args {
    /// The image
    image: String,
    /// Write it to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes the archive. A file appears when it is whole.
///
/// # Errors
/// There is no such image, it cannot be exported, or the file cannot be written.
pub async fn run(args: Args, context: &Context) -> Outcome {
    if args.output.is_none() && io::stdout().is_terminal() {
        let message = "an archive is nothing for a terminal: name a file with --output";
        return Err(Failure::usage(message));
    }
    match args.output {
        Some(path) => to_file(&args.image, &path, context).await,
        // Whoever reads it may keep us waiting: an interrupt ends this process itself.
        None => copy(&args.image, context, |bytes| context.output.data(bytes))
            .await
            .map(|_bytes| 0),
    }
}

async fn to_file(image: &str, path: &Path, context: &Context) -> Outcome {
    let failed = |error: io::Error| {
        let what = format!("cannot write {}", path.display());
        Failure::from(host_error(what, &error))
    };
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut interrupts = context.interrupts()?;
    // It goes by itself unless it is kept.
    let mut part = tempfile::Builder::new()
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder)
        .map_err(failed)?;
    let copied = tokio::select! {
        copied = copy(image, context, |bytes| part.write_all(bytes).map_err(failed)) => copied,
        by = interrupts.next() => Err(Failure::interrupted_by(by, "interrupted")),
    };
    context.output.clear_status();
    let bytes = copied?;
    part.as_file().sync_all().map_err(failed)?;
    part.persist(path).map_err(|error| failed(error.error))?;
    if context.output.json() || context.output.verbose() {
        return context.output.print(&Exported { path, bytes });
    }
    Ok(0)
}

/// Passes the archive on as it comes, and shows how much has; how many bytes it was.
async fn copy(
    image: &str,
    context: &Context,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let progress = Progress::new(&context.output);
    let track = progress.begin(None);
    let going = |detail: Option<String>, done: Option<u64>, total: Option<u64>| {
        let stage = "export_image".to_owned();
        progress.event(
            track,
            &EventKind::Stage {
                stage,
                detail,
                done,
                total,
            },
        );
    };
    going(Some("reading the image".to_owned()), None, None);
    let mut redraw = tokio::time::interval(REDRAW);
    let asked = context
        .session
        .read(|client| async move { client.export_image(image).await });
    tokio::pin!(asked);
    let mut archive = loop {
        tokio::select! {
            archive = &mut asked => break archive?,
            _ = redraw.tick() => progress.draw(),
        }
    };
    let (mut done, total) = (0, archive.remaining());
    loop {
        let chunk = tokio::select! {
            chunk = archive.next() => chunk?,
            _ = redraw.tick() => {
                let of = total.map_or(String::new(), |total| format!(" of {}", ByteSize(total)));
                going(Some(format!("{}{of}", ByteSize(done))), Some(done), total);
                continue;
            }
        };
        let Some(bytes) = chunk else { break };
        write(&bytes)?;
        done += bytes.len() as u64;
    }
    progress.end(track);
    Ok(done)
}
