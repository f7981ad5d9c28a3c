//! `banger daemon run`

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use banger_api::ApiError;
use banger_api::error::ErrorBody;
use banger_daemon::Config;
use tracing_subscriber::EnvFilter;

use crate::context::Context;
use crate::failure::{Failure, Outcome, host_error};

/// Level of the log when the configuration has none.
const DEFAULT_LOG_LEVEL: &str = "info";

/// Arguments of `banger daemon run`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It starts by itself when a command needs it; run it by hand to see its log. It ends with SIGTERM, Ctrl-C or \
banger daemon stop; VMs run on.

Examples:
  banger daemon run
  BANGER_HOME=/srv/banger banger daemon run")]
pub struct Args {
    /// Started by another banger: standard output is a pipe to it
    #[arg(long, hide = true)]
    pub background: bool,
}

/// Runs the daemon until it is stopped.
///
/// # Errors
/// It cannot start.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let paths = context.session.endpoint().paths.clone();
    let report = match args.background {
        true => Some(Report::take().map_err(|source| host_error("cannot report", &source))?),
        false => None,
    };
    let ran = serve(paths, report.as_ref()).await;
    if let (Some(report), Err(error)) = (report, &ran) {
        report.error(error);
    }
    ran.map(|()| 0).map_err(Failure::from)
}

async fn serve(paths: banger_daemon::Paths, report: Option<&Report>) -> Result<(), ApiError> {
    log_to_stderr(&Config::load(paths.config())?);
    let ready = report
        .map(|report| report.0.try_clone())
        .transpose()
        .map_err(|source| host_error("cannot report", &source))?;
    banger_daemon::run(paths, ready).await
}

fn log_to_stderr(config: &Config) {
    let level = config.log_level.as_deref().unwrap_or(DEFAULT_LOG_LEVEL);
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// The pipe to whoever started this daemon.
struct Report(File);

impl Report {
    /// Takes it off standard output, which then goes nowhere.
    fn take() -> io::Result<Self> {
        let pipe = io::stdout().as_fd().try_clone_to_owned()?;
        let nowhere = File::options().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        Ok(Self(File::from(pipe)))
    }

    fn error(mut self, error: &ApiError) {
        let error = error.clone();
        // An `ApiError` is strings and names: it always has a JSON form. Whoever waited may have gone.
        let json = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
        let _ = writeln!(self.0, "{json}");
    }
}
