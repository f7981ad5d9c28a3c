//! `banger doctor`
//!
//! ```text
//! --fix ──► mend ─┐
//! host_checks, in this process ──► a daemon that runs is asked for its own ──► the worse of two wins
//!                                  (none is started: that must work where none can start)
//! ```

mod fix;

use banger_api::doctor::{Check, Report};
use banger_api::system::DaemonStatus;
use banger_api::{ApiError, ErrorCode};
use banger_daemon::host_checks;

use crate::context::Context;
use crate::endpoint::is_older;
use crate::failure::{Failure, Outcome};
use crate::takeover::{Found, find};
use crate::view::doctor::Doctor;

/// Arguments of `banger doctor`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It looks at this host by itself and starts no daemon; one that runs is asked for what only it knows. Exit code \
5 says that something fails: the host is not ready.

--fix does what needs no root and loses nothing, and says each thing that it does: folders become private, the \
socket of a daemon that is gone is removed. It asks before it fetches or builds a missing kernel or image and \
before it changes your own ~/.ssh/config; without a terminal, or with --json, --yes is the answer.

Examples:
  banger doctor         every precondition, with its fix
  banger doctor --json  checks with name, status (ok, warn, fail), cause, fix
  banger doctor --fix
  banger doctor --fix --yes")]
pub struct Args {
    /// Do what can be done about it
    #[arg(long)]
    fix: bool,
    /// With --fix: fetch what is missing and change ~/.ssh/config without a question
    #[arg(short, long, requires = "fix")]
    yes: bool,
}

/// Prints every precondition; the exit code tells whether one fails.
///
/// # Errors
/// Standard output is gone, or a fix was interrupted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let fixed = match args.fix {
        true => fix::all(args.yes, context).await?,
        false => Vec::new(),
    };
    let paths = context.session.endpoint().paths.clone();
    let looking = tokio::task::spawn_blocking(move || host_checks(&paths));
    let mut checks = looking
        .await
        .map_err(|panic| Failure::from(ApiError::new(ErrorCode::Internal, panic.to_string())))?;
    let (daemon, its_own) = of_daemon(context).await;
    checks.push(daemon);
    let doctor = Doctor {
        report: Report {
            checks: merged(checks, its_own),
        },
        fixed,
    };
    context.output.print(&doctor)?;
    Ok(match doctor.fails() {
        true => ErrorCode::HostNotReady.exit_code(),
        false => 0,
    })
}

/// The daemon itself as a check, and what it says when it runs.
async fn of_daemon(context: &Context) -> (Check, Vec<Check>) {
    let (endpoint, client) = (context.session.endpoint(), context.session.client());
    let name = "daemon";
    let status = match find(endpoint, client).await {
        Ok(Found::Nobody) => {
            let cause = "none runs; the first command starts one";
            return (Check::ok(name, cause), Vec::new());
        }
        Ok(Found::Silent(pid)) => {
            let cause = format!("process {pid} is starting or ending");
            let fix = format!("its log: {}", endpoint.log.display());
            return (Check::warn(name, cause, fix), Vec::new());
        }
        Ok(Found::Answers(status)) => status,
        Err(error) => {
            let fix = error
                .hint
                .unwrap_or_else(|| format!("its log: {}", endpoint.log.display()));
            return (Check::fail(name, error.message, fix), Vec::new());
        }
    };
    let itself = running(&status, &endpoint.build);
    match client.doctor().await {
        Ok(report) => (itself, report.checks),
        Err(error) => {
            let cause = format!("it does not say what it sees: {error}");
            let fix = "banger daemon stop, then the same command again";
            (itself, vec![Check::warn("daemon's view", cause, fix)])
        }
    }
}

fn running(status: &DaemonStatus, ours: &str) -> Check {
    let cause = format!("process {} answers at {}", status.pid, status.socket);
    let name = "daemon";
    if is_older(&status.build, ours) {
        let cause = format!("{cause}; it is an older build");
        return Check::warn(
            name,
            cause,
            "the next command that changes something replaces it, once nothing is under way there",
        );
    }
    match status.build == ours {
        true => Check::ok(name, cause),
        false => Check::ok(
            name,
            format!("{cause}; it is a newer build than this program"),
        ),
    }
}

/// Ours, and what the daemon sees otherwise: of two checks of one name the worse one counts. The daemon's environment,
/// `PATH` above all, may be another.
fn merged(ours: Vec<Check>, theirs: Vec<Check>) -> Vec<Check> {
    let mut all = ours;
    for check in theirs {
        match all.iter_mut().find(|one| one.name == check.name) {
            Some(one) if one.status < check.status => {
                *one = Check {
                    cause: format!("for the daemon that runs: {}", check.cause),
                    ..check
                };
            }
            Some(_) => {}
            None => all.push(check),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use banger_api::doctor::Status;

    use super::*;

    #[test]
    fn of_two_checks_of_one_name_the_worse_one_counts() {
        let ours = vec![
            Check::ok("git", "/usr/bin/git"),
            Check::warn("ssh", "no", "i"),
        ];
        let theirs = vec![
            Check::fail("git", "not on PATH", "install"),
            Check::ok("ssh", "/usr/bin/ssh"),
            Check::ok("leftovers", "none"),
        ];
        let all = merged(ours, theirs);
        let told: Vec<_> = all
            .iter()
            .map(|check| (check.name.as_str(), check.status))
            .collect();
        assert_eq!(
            told,
            [
                ("git", Status::Fail),
                ("ssh", Status::Warn),
                ("leftovers", Status::Ok)
            ]
        );
        assert!(all[0].cause.starts_with("for the daemon that runs"));
    }
}
