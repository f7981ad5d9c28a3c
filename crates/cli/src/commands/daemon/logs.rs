//! `banger daemon logs`

use std::io;

use banger_api::ApiError;
use banger_daemon::log_file;
use futures::StreamExt as _;

use crate::context::Context;
use crate::failure::{Outcome, host_error};
use crate::output::sanitize::LogFilter;

/// Arguments of `banger daemon logs`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The log of daemons that ran in the background, the last one last; it is kept below 8 MiB. Its level is \
log_level in config.toml. It is read from its file, so that it can be read while no daemon runs.

Examples:
  banger daemon logs
  banger daemon logs -n 50
  banger daemon logs -f -n 0  only what is still to come")]
pub struct Args {
    /// Go on with what is still to come
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<u64>,
}

/// Prints the daemon's log.
///
/// # Errors
/// The log cannot be read.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let log = &context.session.endpoint().log;
    let failed = |source: io::Error| -> ApiError {
        host_error(format!("cannot read {}", log.display()), &source)
    };
    let Some(chunks) = log_file::read(log, args.tail, args.follow).map_err(failed)? else {
        context.output.note(&format!(
            "no daemon has run in the background yet: there is no {}",
            log.display()
        ));
        return Ok(0);
    };
    let mut filter = LogFilter::default();
    futures::pin_mut!(chunks);
    while let Some(bytes) = chunks.next().await {
        context.output.data(&filter.pass(&bytes.map_err(failed)?))?;
    }
    Ok(0)
}
