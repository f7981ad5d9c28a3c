//! `banger vm cp`

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use banger_api::{ApiError, ByteSize, ErrorCode};
use banger_guest::files::{
    FilesError, PackOptions, Target, TransferError, UnpackLimits, download, upload,
};
use banger_guest::{GuestPath, TransferDone};

use crate::context::Context;
use crate::counting::Counting;
use crate::failure::{Failure, Outcome, chain};
use crate::lost_guest;
use crate::view::copy::Copied;

mod place;

use place::{Place, Route};

/// Time before progress is shown.
const HIDDEN: Duration = Duration::from_secs(1);
/// Number of times that the progress is drawn.
const REDRAW: Duration = Duration::from_millis(200);

/// Arguments of `banger vm cp`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
One side is VM:PATH. As with cp -a and docker cp there are two forms: SRC goes into a destination that is \
an existing directory, under its own name, and else becomes the destination; SRC/. gives the destination what \
is inside SRC, whether it is there already or is made. Modes, times, links and holes are kept; a file in the \
guest belongs to root. A guest path that does not begin with / is in /root. Neither network nor sshd is needed.

Examples:
  banger cp ./site web:/srv/         becomes /srv/site
  banger cp ./site/. web:/srv        what is in it comes into /srv
  banger cp web:/srv/. ./srv         the way back
  banger cp web:/var/log/syslog .
  banger cp web:results ./results-1  /root/results")]
pub struct Args {
    /// If the source itself is a link, copy what it points to
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// From: PATH or VM:PATH
    #[arg(value_name = "SRC")]
    source: String,
    /// To: PATH or VM:PATH
    #[arg(value_name = "DST")]
    destination: String,
}

/// Copies files and says how much.
///
/// # Errors
/// There is no such VM or file, or it cannot be written.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let route = Route::new(&args.source, &args.destination)?;
    let mut interrupts = context.interrupts()?;
    let copying = async {
        match route {
            Route::In { from, vm, to } => {
                let done = put(from, &vm, to, args.follow_link, context).await;
                lost_guest::explain(done, &vm, context).await
            }
            Route::Out { vm, from, to } => {
                let done = get(&vm, from, to, args.follow_link, context).await;
                lost_guest::explain(done, &vm, context).await
            }
        }
    };
    let done = tokio::select! {
        done = copying => done?,
        by = interrupts.next() => {
            return Err(Failure::interrupted_by(by, "interrupted; what was copied so far stays"));
        }
    };
    if done.skipped > 0 {
        let skipped = done.skipped;
        context.output.warn(&format!(
            "{skipped} sockets, fifos or devices were left out"
        ));
    }
    if context.output.json() || context.output.verbose() {
        return context.output.print(&Copied::from(done));
    }
    Ok(0)
}

async fn put(
    from: Place<PathBuf>,
    vm: &str,
    to: Place<GuestPath>,
    follow: bool,
    context: &Context,
) -> Result<TransferDone, Failure> {
    let source = from.path;
    let follow = follow || from.directory;
    // Before anything is sent: what is not there needs no VM.
    let metadata = if follow {
        std::fs::metadata(&source)
    } else {
        std::fs::symlink_metadata(&source)
    };
    let named = source.display();
    let metadata = metadata
        .map_err(|error| ApiError::new(ErrorCode::NotFound, format!("{named}: {error}")))?;
    if from.directory && !metadata.is_dir() {
        let message = format!("{named} is not a directory: write it without a slash at its end");
        return Err(ApiError::new(ErrorCode::InvalidArgument, message).into());
    }
    // A directory that is copied to `new/` makes it; a file needs it to be there.
    let must_be_dir = to.directory && !metadata.is_dir() && to.path.file_name().is_some();
    let slash = if must_be_dir { "/" } else { "" };
    let path = &format!("{}{slash}", to.path);
    let contents = from.contents;
    let stream = context
        .session
        .change(|client| async move { client.vm_put_files(vm, path, contents).await })
        .await?;
    let (stream, moved) = Counting::new(stream);
    let options = PackOptions {
        follow,
        ..PackOptions::default()
    };
    shown(upload(stream, source, options), moved, context).await
}

async fn get(
    vm: &str,
    from: Place<GuestPath>,
    to: Place<PathBuf>,
    follow: bool,
    context: &Context,
) -> Result<TransferDone, Failure> {
    let path = &from.path;
    let follow = follow || from.directory;
    let stream = context
        .session
        .change(|client| async move { client.vm_get_files(vm, path.as_str(), follow).await })
        .await?;
    let target = Target {
        dest: to.path,
        must_be_dir: to.directory,
        contents: from.contents,
        parents: false,
        // The guest's own word for it is not believed.
        name: Some(path.file_name().unwrap_or("root").into()),
        owner: None,
    };
    let (stream, moved) = Counting::new(stream);
    let limits = UnpackLimits::default();
    shown(download(stream, target, limits), moved, context).await
}

/// Waits for a transfer and shows how much it has moved.
///
/// # Errors
/// The transfer's own.
pub async fn shown(
    transfer: impl Future<Output = Result<TransferDone, TransferError>>,
    moved: Arc<AtomicU64>,
    context: &Context,
) -> Result<TransferDone, Failure> {
    let started = Instant::now();
    let mut redraw = tokio::time::interval(REDRAW);
    tokio::pin!(transfer);
    let result = loop {
        tokio::select! {
            result = &mut transfer => break result,
            _ = redraw.tick() => {
                let took = started.elapsed();
                if took >= HIDDEN {
                    let bytes = moved.load(Ordering::Relaxed);
                    let each_second = ByteSize(bytes / took.as_secs().max(1));
                    let bytes = ByteSize(bytes);
                    context.output.status(&format!("{bytes} copied, {each_second}/s"));
                }
            }
        }
    };
    context.output.clear_status();
    result.map_err(failure)
}

fn failure(error: TransferError) -> Failure {
    use std::io::ErrorKind;
    let code = match &error {
        TransferError::Here(FilesError::Io { source, .. }) => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
            ErrorKind::NotFound => ErrorCode::NotFound,
            _ => ErrorCode::HostNotReady,
        },
        TransferError::Here(FilesError::Target { .. }) => ErrorCode::InvalidArgument,
        TransferError::Here(_) | TransferError::There(_) => ErrorCode::GuestFailed,
        TransferError::Frame(_) | TransferError::Unexpected(_) => ErrorCode::GuestFailed,
        TransferError::Stalled(_) => ErrorCode::GuestUnreachable,
    };
    ApiError::new(code, chain(&error)).into()
}
