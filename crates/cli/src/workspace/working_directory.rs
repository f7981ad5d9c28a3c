//! Commands in a VM with a workspace start there, and are told when the host has moved on.

use std::path::Path;

use banger_api::vm::Exec;
use banger_workspace::{Git, Head};

use super::choice::Choice;
use crate::context::Context;
use crate::failure::Failure;

/// Digits of a commit that are shown.
const SHORT: usize = 10;

/// Fills in the workspace's directory, variables and user unless the command sets them; warns when the host's repository
/// has another commit checked out than was sent. Errors are ignored here; the command will report them.
///
/// # Errors
/// A workspace was named and is not there.
pub async fn surround(
    vm: &str,
    choice: &Choice,
    exec: &mut Exec,
    context: &Context,
) -> Result<(), Failure> {
    let Some(kept) = choice.or_last(vm, context).await? else {
        return Ok(());
    };
    warn_of_moved_head(&kept.head, context).await;
    apply(kept.head, exec);
    Ok(())
}

/// The folder of a VM's workspace, when there is a complete one.
pub async fn folder(vm: &str, context: &Context) -> Option<String> {
    let kept = Choice::default()
        .or_last(vm, context)
        .await
        .ok()
        .flatten()?;
    Some(kept.head.guest_path)
}

/// Fills in the workspace's directory, variables and user unless the command sets them.
pub fn apply(head: Head, exec: &mut Exec) {
    exec.cwd.get_or_insert(head.guest_path);
    if exec.user.is_none() {
        exec.user = head.user;
    }
    for (name, value) in head.env {
        exec.env.entry(name).or_insert(value);
    }
}

async fn warn_of_moved_head(head: &Head, context: &Context) {
    let source = head.source.clone();
    let looking = tokio::task::spawn_blocking(move || {
        if !Path::new(&source).is_dir() {
            return None;
        }
        let now = Git::new(&source).line(&["rev-parse", "-q", "--verify", "HEAD^{commit}"]);
        // A repository that cannot be read now is no reason not to run a command in a guest.
        now.ok()
    });
    let Ok(Some(now)) = looking.await else { return };
    if now == head.host_head {
        return;
    }
    let short = |commit: &Option<String>| {
        commit.as_deref().map_or("no commit".to_owned(), |commit| {
            commit.chars().take(SHORT).collect()
        })
    };
    let (source, now, then) = (&head.source, short(&now), short(&head.host_head));
    context.output.warn(&format!(
        "{source} is at {now} now, and was at {then} when it was sent: banger vm workspace prepare sends what changed"
    ));
}
