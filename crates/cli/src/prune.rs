//! Deleting whatever nobody uses: say what, ask, delete, say how much that was.

use banger_api::vm::Prune;
use banger_api::{ByteSize, OperationId};
use banger_client::{Client, ClientError};

use crate::consent;
use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow};
use crate::output::Render;
use crate::progress::Progress;
use crate::references;

/// Options of a prune.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Flags {
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask; needed where there is no terminal to ask at, and with --json
    #[arg(short, long)]
    pub yes: bool,
}

/// The daemon's answer to a prune, or to a dry run of one.
pub trait Going {
    /// Names of what goes.
    fn names(&self) -> Vec<&str>;
    /// Text behind the names in the question whether they shall go.
    fn with_them(&self) -> &str;
    /// Bytes of disk that go with them.
    fn freed_bytes(&self) -> u64;
    /// Call that removes them.
    fn operations(&self) -> &[OperationId];
    /// It, for standard output.
    fn view(&self, dry_run: bool) -> impl Render;
}

/// Prunes what `call` says, and prints the names.
///
/// # Errors
/// The user does not want it, or one of them cannot be deleted.
pub async fn run<G: Going, F>(
    flags: Flags,
    context: &Context,
    call: impl Fn(Client, Prune) -> F,
) -> Outcome
where
    F: Future<Output = Result<G, ClientError>>,
{
    let prune = async |dry_run| {
        let session = &context.session;
        session
            .change(|client| call(client, Prune { dry_run }))
            .await
    };
    if flags.dry_run {
        return context.output.print(&prune(true).await?.view(true));
    }
    if !flags.yes {
        let would = prune(true).await?;
        let (names, with) = (would.names(), would.with_them());
        if !names.is_empty() {
            let question = format!("Delete {}{with}?", names.join(", "));
            consent::asked(&question, consent::YES_OR_DRY_RUN, &context.output)?;
        }
    }
    let pruned = prune(false).await?;
    let progress = &Progress::new(&context.output);
    let results = references::act(pruned.operations().to_vec(), |operation| async move {
        follow(context, progress, operation, None, How::default()).await
    })
    .await;
    context.output.print(&pruned.view(false))?;
    match results.failure {
        Some(failure) => Err(failure),
        None => {
            let (count, freed) = (pruned.names().len(), ByteSize(pruned.freed_bytes()));
            let output = &context.output;
            output.note(&format!("{count} deleted, {freed} freed"));
            Ok(0)
        }
    }
}
