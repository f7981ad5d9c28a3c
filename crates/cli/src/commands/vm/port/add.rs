//! `banger vm port add`

use banger_api::vm::{ChangePorts, Publish};

use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm port add`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It holds at once where the VM's network is banger's own, and at the next start where it is QEMU's. At \
this host's loopback, which is the default, it leads to servers at the guest's loopback too; at another \
ADDRESS to those that listen for other machines.

Examples:
  banger vm port add web 3000
  banger vm port add web 8080:80 8443:443
  banger vm port add web 0.0.0.0:8080:80     for other machines, too
  banger vm port add web '[::1]:8080:80'")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// [[ADDRESS:]HOST:]GUEST: ports of this host and of the guest
    #[arg(required = true, value_name = "PORT", value_parser = super::port)]
    ports: Vec<Publish>,
}

/// Publishes ports.
///
/// # Errors
/// There is no such VM, or a port is somebody else's.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let change = ChangePorts {
        add: args.ports,
        ..ChangePorts::default()
    };
    super::change(&args.vm, &change, context).await
}
