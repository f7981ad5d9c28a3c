//! `banger doctor`

use banger_api::doctor::{Check, Report, Verdict};
use banger_api::{ApiError, ErrorCode};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::doctor::Doctor;

/// Arguments of `banger doctor`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger doctor         every precondition, with what to do about it
  banger doctor --json  for a script; exit code 5 when something fails")]
pub struct Args {}

/// Prints every precondition; the exit code tells whether one fails.
///
/// # Errors
/// Standard output is gone.
pub async fn run(_args: Args, context: &Context) -> Outcome {
    let report = context
        .session
        .read(|client| async move { client.doctor().await })
        .await;
    let doctor = Doctor(match report {
        Ok(report) => report,
        Err(failure) => without_daemon(failure)?,
    });
    context.output.print(&doctor)?;
    Ok(if doctor.fails() {
        ErrorCode::HostNotReady.exit_code()
    } else {
        0
    })
}

/// Without a daemon there is one finding, and it is why.
fn without_daemon(failure: Failure) -> Result<Report, Failure> {
    let Some(ApiError { message, hint, .. }) = failure.error().cloned() else {
        return Err(failure);
    };
    Ok(Report {
        checks: vec![Check {
            name: "daemon".to_owned(),
            verdict: Verdict::Fail,
            finding: message,
            advice: hint,
        }],
    })
}
