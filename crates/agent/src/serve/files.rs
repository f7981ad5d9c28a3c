//! Files in and out. Paths are the guest's own, so the host may name any of them.

use std::path::PathBuf;
use std::sync::Arc;

use banger_guest::files::{PackOptions, Target, receive, receive_unchanged, send, send_root};
use banger_guest::wire::frame::{self, Frame};
use banger_guest::{GetFiles, GuestPath, PutFiles, TransferFailure};
use tokio::io::AsyncWriteExt;

use super::reply::CallIo;
use super::reply::running;
use crate::guest_state::Guest;

pub(super) async fn put(mut io: CallIo, request: PutFiles, guest: &Arc<Guest>) {
    if refused(&mut io, &request.dest, guest).await {
        return;
    }
    let target = Target {
        dest: path_in(guest, &request.dest),
        must_be_dir: request.must_be_dir,
        contents: request.contents,
        parents: request.parents,
        name: None,
        owner: request.owner,
    };
    // A broken call is a host that is gone.
    let _ = if request.unchanged {
        receive_unchanged(&mut io, target, guest.looked()).await
    } else {
        receive(&mut io, target).await
    };
    let _ = io.shutdown().await;
}

pub(super) async fn get(mut io: CallIo, request: GetFiles, guest: &Arc<Guest>) {
    if refused(&mut io, &request.path, guest).await {
        return;
    }
    let options = PackOptions {
        follow: request.follow,
        ..PackOptions::default()
    };
    let _ = send(&mut io, path_in(guest, &request.path), options).await;
    let _ = io.shutdown().await;
}

/// The whole root. A host that asks for it has started nothing in the guest.
pub(super) async fn get_root(mut io: CallIo, guest: &Arc<Guest>) {
    let Ok(top) = GuestPath::new("/") else { return };
    if refused(&mut io, &top, guest).await {
        return;
    }
    let _ = send_root(&mut io, guest.machine().root()).await;
    let _ = io.shutdown().await;
}

pub(super) fn path_in(guest: &Guest, path: &GuestPath) -> PathBuf {
    guest.machine().root().join(path.relative())
}

pub(super) async fn refused(io: &mut CallIo, path: &GuestPath, guest: &Guest) -> bool {
    let Err(failure) = running(guest) else {
        return false;
    };
    let failed = TransferFailure {
        path: path.to_string(),
        message: failure.message,
    };
    let _ = frame::write(io, &Frame::TransferFailed(failed)).await;
    let _ = io.shutdown().await;
    true
}
