//! One call: its request is read, checked against the phase, and answered.

use std::sync::Arc;
use std::time::Duration;

use banger_guest::limits::MAX_CONFIGURE;
use banger_guest::wire::message::{self, MessageError};
use banger_guest::{Failure, Phase, Pong, Request};

use super::reply::{CallIo, reply, running};
use super::{changes, connect, detached, exec, files, ports, tree};
use crate::failure::{blocking, error_chain, failure};
use crate::guest_state::Guest;
use crate::report::{ports as listening, stats};
use crate::setup::own_kernel;

/// A host that opens a call says what it wants within this time.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// Answers one call. Whatever is wrong with it ends the call, and nothing else.
pub(super) async fn answer(mut io: CallIo, guest: &Arc<Guest>) {
    // The larger limit covers both: what else a request may be was checked by the host before it was sent.
    let request = message::read::<Request>(&mut io, MAX_CONFIGURE);
    let request = match tokio::time::timeout(REQUEST_DEADLINE, request).await {
        Ok(Ok(request)) => request,
        Ok(Err(error @ (MessageError::Invalid(_) | MessageError::TooLong { .. }))) => {
            let cause = error_chain(&error);
            reply::<()>(&mut io, Err(failure("request", "read", cause))).await;
            return;
        }
        Ok(Err(MessageError::Io(_))) | Err(_) => return,
    };
    dispatch(io, request, guest).await;
}

async fn dispatch(mut io: CallIo, request: Request, guest: &Arc<Guest>) {
    if guest.phase() == Phase::Held && !is_answered_when_held(&request) {
        let cause = "it is held until it is configured";
        reply::<()>(&mut io, Err(failure("guest", request.name(), cause))).await;
        return;
    }
    match request {
        Request::Ping => reply(&mut io, Ok(pong(guest))).await,
        Request::Configure(configure) => {
            let configured = guest.configure(*configure).await;
            reply(&mut io, configured).await;
        }
        Request::Exec(request) => exec::run(io, request, guest).await,
        Request::Detach(request) => {
            let detached = detached::detach(request, guest).await;
            reply(&mut io, detached).await;
        }
        Request::Detached => {
            let guest = Arc::clone(guest);
            reply(&mut io, blocking(move || detached::list(&guest)).await).await;
        }
        Request::Attach(request) => detached::attach(io, request, guest).await,
        Request::PutFiles(request) => files::put(io, request, guest).await,
        Request::GetFiles(request) => files::get(io, request, guest).await,
        Request::GetChanges(request) => changes::answer(io, request, guest).await,
        Request::GetRoot => files::get_root(io, guest).await,
        Request::Connect(target) => match running(guest) {
            Ok(()) => connect::join(io, target).await,
            Err(failure) => reply::<()>(&mut io, Err(failure)).await,
        },
        Request::DigestFiles(files) => {
            let guest = Arc::clone(guest);
            let found = blocking(move || tree::digest(&guest, &files)).await;
            reply(&mut io, found).await;
        }
        Request::RemoveFiles(files) => {
            let guest = Arc::clone(guest);
            let removed = blocking(move || tree::remove(&guest, &files)).await;
            reply(&mut io, removed).await;
        }
        Request::Ports => {
            let hidden = guest.machine().relay_addresses();
            let found = blocking(move || listening::listeners(&hidden)).await;
            reply(&mut io, found).await;
        }
        Request::WatchPorts => ports::watch(io, guest).await,
        Request::Stats => {
            let groups = guest.machine().command_groups();
            let stats = blocking(move || stats::collect(groups.as_deref())).await;
            reply(&mut io, stats).await;
        }
        // Neither waits for anything, and a thread would only make the reading older.
        Request::ReadClock => reply(&mut io, Ok(guest.machine().read_clock())).await,
        Request::SetClock(to) => reply(&mut io, guest.machine().set_clock(to)).await,
        Request::GrowDisk(disk) => {
            let machine = guest.machine();
            let grown = match running(guest) {
                Ok(()) => blocking(move || machine.grow_disk(&disk)).await,
                Err(failure) => Err(failure),
            };
            reply(&mut io, grown).await;
        }
        Request::Hold => reply(&mut io, guest.hold().await).await,
        Request::InstalledKernel => {
            let root = guest.machine().root();
            let found = match running(guest) {
                Ok(()) => blocking(move || Ok(own_kernel::installed(&root))).await,
                Err(failure) => Err(failure),
            };
            reply(&mut io, found).await;
        }
        Request::Sync => reply(&mut io, blocking(sync).await).await,
        Request::Shutdown { mode } => {
            let written = match blocking(sync).await {
                Ok(()) => guest.shut_down(mode).await,
                Err(failure) => Err(failure),
            };
            reply(&mut io, written).await;
        }
    }
}

/// A guest that was saved is no guest yet: its identity, its clock and its random numbers are those of all that woke with it.
fn is_answered_when_held(request: &Request) -> bool {
    matches!(
        request,
        Request::Ping
            | Request::Hold
            | Request::Configure(_)
            | Request::ReadClock
            | Request::SetClock(_)
    )
}

fn pong(guest: &Guest) -> Pong {
    Pong {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        phase: guest.phase(),
        boot_id: stats::boot_id(),
    }
}

fn sync() -> Result<(), Failure> {
    rustix::fs::sync();
    Ok(())
}
