//! A daemon whose state folder is gone has nothing to serve: it ends, as soon as no VM of it runs.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use banger_api::vm::VmState;
use banger_store::vm;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

use crate::context::Daemon;
use crate::http;
use crate::readiness::readable;

/// Pause between two looks at VMs that still run after the folder went, and at folders that cannot be watched.
const PAUSE: Duration = Duration::from_secs(2);

/// Watches over the folder in which `lock` is, as long as the daemon runs, and closes the gate when it has gone.
pub(crate) async fn end_without_state(daemon: Daemon, lock: File) {
    let folder = daemon.paths.state().to_owned();
    let path = daemon.paths.lock();
    match watch(&folder) {
        Ok(events) => {
            while !is_gone(&lock, &path) {
                if changed(&events).await.is_err() {
                    break;
                }
            }
        }
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "cannot watch the state folder")
        }
    }
    while !is_gone(&lock, &path) {
        tokio::time::sleep(PAUSE).await;
    }
    tracing::warn!(folder = %folder.display(), "the state folder is gone: this daemon ends when no VM of it runs");
    while !ended(&daemon).await {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ended(daemon: &Daemon) -> bool {
    let daemon = daemon.clone();
    let look = tokio::task::spawn_blocking(move || {
        // The open files of the store outlive their names.
        let running = daemon
            .read(vm::list)
            .is_ok_and(|vms| vms.iter().any(|vm| vm.state == VmState::Running));
        !running
            && daemon
                .gate
                .close_when_idle(|| http::running_operations(&daemon))
                .is_ok()
    });
    look.await.unwrap_or(false)
}

fn watch(folder: &Path) -> io::Result<AsyncFd<rustix::fd::OwnedFd>> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let what = inotify::WatchFlags::DELETE
        | inotify::WatchFlags::MOVED_FROM
        | inotify::WatchFlags::DELETE_SELF
        | inotify::WatchFlags::MOVE_SELF;
    inotify::add_watch(&fd, folder, what)?;
    readable(fd)
}

async fn changed(events: &AsyncFd<rustix::fd::OwnedFd>) -> io::Result<()> {
    let mut ready = events.readable().await?;
    let mut buffer = [0; 4096];
    while rustix::io::read(events.get_ref(), &mut buffer).is_ok_and(|n| n > 0) {}
    ready.clear_ready();
    Ok(())
}

/// Another file, or none, is at the place of the lock that this daemon holds.
fn is_gone(lock: &File, path: &Path) -> bool {
    match (lock.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) != (found.dev(), found.ino()),
        (_, Err(error)) => error.kind() == io::ErrorKind::NotFound,
        (Err(_), _) => false,
    }
}
