//! `banger events`

use std::time::Duration;

use banger_api::ErrorCode;
use banger_api::event::{EventsAfter, SystemEvent};
use banger_client::{Client, ClientError, SystemEvents, WantedEvents};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::events::Entry;

/// Time between two looks for the next daemon.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Arguments of `banger events`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each change has an event, which is written down together with it. With --json each event is a line with a cursor; --after with the \
cursor of the last event that was seen goes on with the next one, also after a restart of the daemon or of the host. --follow waits \
for the next daemon when one ends. Events are kept for 30 days, and the last 100,000 of them.

Examples:
  banger events
  banger events --follow
  banger events web --limit 5
  banger events --follow --json --after now
  banger events --json --after 3f9ac210-42")]
pub struct Args {
    /// Those of one VM: its name, its id or the start of its id; of a VM that is gone, the name or the id that it had
    vm: Option<String>,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// Begin after this place: the cursor of an event, "start" or "now"
    #[arg(long, value_name = "CURSOR", conflicts_with = "limit")]
    after: Option<EventsAfter>,
    /// Number of the last events that are shown first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

/// Prints events, oldest first.
///
/// # Errors
/// The daemon does not answer, or the cursor is of another log.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut wanted = WantedEvents {
        limit: args.after.is_none().then_some(args.limit),
        after: args.after,
        follow: args.follow,
        vm: args.vm,
    };
    let first = &wanted;
    let mut stream = context
        .session
        .read(|client| async move { client.events(first).await })
        .await?;
    loop {
        let ended = pass(&mut stream, &mut wanted, context).await;
        match ended {
            Ok(()) if !args.follow => return Ok(0),
            Ok(()) | Err(Passed::Stream) => {}
            Err(Passed::Failure(failure)) => return Err(failure),
        }
        stream = again(&wanted, context).await?;
    }
}

/// Cause for which a stream is not read any more.
enum Passed {
    /// It broke off: the daemon has gone.
    Stream,
    /// Nothing can be printed, or what came is no event.
    Failure(Failure),
}

/// Prints the events of a stream until it ends, and remembers the place of the last one.
async fn pass(
    stream: &mut SystemEvents,
    wanted: &mut WantedEvents,
    context: &Context,
) -> Result<(), Passed> {
    loop {
        let event: SystemEvent = match stream.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(ClientError::Http { .. }) => return Err(Passed::Stream),
            Err(error) => return Err(Passed::Failure(error.into())),
        };
        wanted.after = Some(EventsAfter::Cursor(event.cursor.clone()));
        wanted.limit = None;
        let entry = Entry(event);
        context.output.entry(&entry).map_err(Passed::Failure)?;
    }
}

/// The stream of the next daemon. One that was stopped is not started again by a command that only looks.
async fn again(wanted: &WantedEvents, context: &Context) -> Result<SystemEvents, Failure> {
    let session = &context.session;
    let mut told = false;
    loop {
        let client: &Client = session.client();
        session.endpoint().locate(client)?;
        match client.events(wanted).await {
            Ok(stream) => return Ok(stream),
            Err(error) if !is_away(&error) => return Err(error.into()),
            Err(_away) => {}
        }
        if !std::mem::replace(&mut told, true) {
            context
                .output
                .note("the daemon has ended; waiting for the next one");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn is_away(error: &ClientError) -> bool {
    match error {
        ClientError::Api(error) => error.code == ErrorCode::ShuttingDown,
        ClientError::Http { .. } => true,
        other => other.is_no_daemon(),
    }
}
