//! `banger vm addr`

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::port::Address;

/// Arguments of `banger vm addr`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Every VM on banger's own network has an address of this host for its life. Servers in the guest appear \
there at their own port; those below 1024 at 10000 more, unless you may listen there.

Examples:
  banger vm addr web
  curl http://$(banger vm addr web):3000/
  psql -h $(banger vm addr db) -U postgres")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Prints the address of this host at which a VM's servers are.
///
/// # Errors
/// There is no such VM, or it has none.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let vm = context
        .session
        .read(|client| async move { client.vm(reference).await })
        .await?;
    match Address::of(&vm) {
        Ok(address) => context.output.print(&address),
        Err(why) => Err(Failure::usage(why)),
    }
}
