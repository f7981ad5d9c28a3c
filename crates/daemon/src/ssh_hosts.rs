//! The hosts that SSH clients see: one for each VM, in a file that banger's own SSH configuration includes.
//!
//! It is written where VMs come, go and are renamed, at the daemon's start, and by upkeep: a file that somebody has
//! changed or removed is right again soon.

use banger_api::ApiError;
use banger_control::Control;
use banger_ssh::{Hosts, SshError};
use banger_store::vm;

/// Fault of the file.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("cannot list the VMs: {0}")]
    Store(ApiError),
    #[error(transparent)]
    File(#[from] SshError),
}

/// Makes the file say which VMs there are. What fails is logged: VMs are reached without it, too.
pub(crate) fn keep(hosts: &Hosts, control: &Control) {
    let kept = hosts.keep(|| control.read(vm::names).map_err(Wrong::Store));
    if let Err(error) = kept {
        let path = hosts.path().display();
        tracing::warn!(%path, %error, "cannot write the hosts that SSH clients see");
    }
}
