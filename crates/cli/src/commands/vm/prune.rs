//! `banger vm prune`

use banger_api::OperationId;
use banger_api::vm::{PruneVms, Pruned};

use super::chosen::Selector;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::Render;
use crate::prune::{self, Flags, Going};
use crate::view::vm;

/// Arguments of `banger vm prune`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Their work disks go with them: there is no way back. At a terminal it asks first.

Examples:
  banger vm prune --dry-run  say what would go
  banger vm prune --label job=7 --yes")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    selector: Selector,
}

/// Deletes all VMs that do not run and prints their names.
///
/// # Errors
/// One of them cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let labels = &args.selector.labels;
    prune::run(args.flags, context, |client, prune| async move {
        let (dry_run, labels) = (prune.dry_run, labels.clone());
        client.prune_vms(&PruneVms { dry_run, labels }).await
    })
    .await
}

impl Going for Pruned {
    fn names(&self) -> Vec<&str> {
        self.vms.iter().map(|vm| vm.name.as_str()).collect()
    }
    fn with_them(&self) -> &str {
        " with all their files"
    }
    fn freed_bytes(&self) -> u64 {
        self.freed_bytes
    }
    fn operations(&self) -> &[OperationId] {
        &self.operations
    }
    fn view(&self, dry_run: bool) -> impl Render {
        vm::Prune::new(self, dry_run)
    }
}
