//! `banger vm health`

use banger_api::ErrorCode;

use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;
use crate::references;
use crate::view::shown::Shown;
use crate::view::vm::Health;

/// Arguments of `banger vm health`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The exit code is 0 when all of them answer, else 1.

Examples:
  banger vm health web
  until banger vm health web; do sleep 1; done")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Asks guests whether they are well.
///
/// # Errors
/// One of them is not there.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vms = args.chosen.find(context).await?;
    let results = references::act(vms, |vm| async move {
        let reference = &vm.id.to_string();
        context
            .session
            .read(|client| async move { client.vm_health(reference).await })
            .await
    })
    .await;
    let well = results.done.iter().all(|health| health.healthy);
    let exit = results.print(context, |done| Health(Shown(done)))?;
    Ok(if well {
        exit
    } else {
        ErrorCode::GuestUnreachable.exit_code()
    })
}
