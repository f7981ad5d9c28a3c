//! Work that is under way in a daemon of a build that does not tell it (until 0.1 of November 2026), seen from outside.
//!
//! Its operations are in its log. Its streams are connections that it has accepted: the kernel lists sockets with the
//! path at which they were accepted, and which of them are the daemon's is told by its descriptors.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use banger_api::ApiError;
use banger_api::operation::OperationState;
use banger_api::system::{Activity, RunningOperation};
use banger_client::Client;
use tokio::time::sleep;

use crate::failure::api_error;

/// Newest operations that are looked at. More do not run at once: each takes a thread of 512.
const OPERATIONS: u32 = 512;
/// Our own calls are connections, too, until the daemon has seen their end.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);
/// A connected socket, in the sixth column of `/proc/net/unix` (SS_CONNECTED of linux/net.h).
const CONNECTED: &str = "03";
/// The file name of every daemon's socket.
const SOCKET: &str = "/daemon.sock";

/// Work that would be cut if the daemon of this process ended.
///
/// # Errors
/// It cannot be asked for its operations.
pub async fn activity(pid: u32, client: &Client) -> Result<Activity, ApiError> {
    let log = client.operation_log(None, OPERATIONS).await;
    let operations = log
        .map_err(api_error)?
        .into_iter()
        .filter(|logged| logged.operation.state == OperationState::Running)
        .map(|logged| RunningOperation {
            id: logged.operation.id,
            kind: logged.operation.kind,
            vm: logged.vm_name,
        });
    Ok(Activity {
        operations: operations.collect(),
        streams: Vec::new(),
        requests: lasting_connections(pid).await,
    })
}

async fn lasting_connections(pid: u32) -> u64 {
    for _look in 1..LOOKS {
        if connections(pid) == Some(0) {
            return 0;
        }
        sleep(PAUSE).await;
    }
    // What cannot be seen may be somebody's work.
    connections(pid).unwrap_or(1)
}

fn connections(pid: u32) -> Option<u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let own: HashSet<String> = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            let target = target.to_str()?;
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/unix")).ok()?;
    Some(count(&sockets, &own))
}

/// Lines are `Num RefCount Protocol Flags Type St Inode Path` (proc(5)).
fn count(sockets: &str, own: &HashSet<String>) -> u64 {
    let accepted = sockets.lines().skip(1).filter(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words.get(5) == Some(&CONNECTED)
            && words.get(6).is_some_and(|inode| own.contains(*inode))
            && line.ends_with(SOCKET)
    });
    accepted.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_the_daemon_accepted_are_counted_and_no_others() {
        let sockets = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 100 /b/run/daemon.sock
0000000000000000: 00000003 00000000 00000000 0001 03 101 /b/run/daemon.sock
0000000000000000: 00000003 00000000 00000000 0001 03 102 /proc/self/fd/9/daemon.sock
0000000000000000: 00000003 00000000 00000000 0001 03 103
0000000000000000: 00000003 00000000 00000000 0001 03 999 /other/daemon.sock
";
        let own = ["100", "101", "102", "103"].map(str::to_owned).into();
        assert_eq!(count(sockets, &own), 2);
        assert_eq!(count("", &own), 0);
    }
}
