//! `banger image export`

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use banger_client::ByteStream;

use crate::context::Context;
use crate::failure::{Failure, Outcome, host_error};

/// Arguments of `banger image export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The archive has one layer and the image's own words about being run; other tools and `banger image pull FILE` take it. A
work seed that is not the image's own /root is not part of it.

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
    let image = &args.image;
    let mut archive = context
        .session
        .read(|client| async move { client.export_image(image).await })
        .await?;
    if let Some(path) = &args.output {
        return to_file(&mut archive, path, context).await;
    }
    while let Some(bytes) = archive.next().await? {
        context.output.data(&bytes)?;
    }
    Ok(0)
}

async fn to_file(archive: &mut ByteStream, path: &Path, context: &Context) -> Outcome {
    let failed = |error: io::Error| {
        Failure::from(host_error(
            format!("cannot write {}", path.display()),
            &error,
        ))
    };
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // It goes by itself unless it is kept.
    let mut part = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut interrupts = context.interrupts()?;
    loop {
        let chunk = tokio::select! {
            chunk = archive.next() => chunk?,
            _ = interrupts.next() => return Err(Failure::interrupted("interrupted")),
        };
        let Some(bytes) = chunk else { break };
        part.write_all(&bytes).map_err(failed)?;
    }
    part.as_file().sync_all().map_err(failed)?;
    part.persist(path).map_err(|error| failed(error.error))?;
    Ok(0)
}
