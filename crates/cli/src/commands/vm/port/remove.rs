//! `banger vm port remove`

use banger_api::vm::{ChangePorts, Publish, Vm};

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Arguments of `banger vm port remove`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It holds at once, as banger vm port add does. Connections that are open stay open.

Examples:
  banger vm port remove web 3000             all that lead to port 3000
  banger vm port remove web 8080:80")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// GUEST, or as it was published: [ADDRESS:]HOST:GUEST
    #[arg(required = true, value_name = "PORT")]
    ports: Vec<String>,
}

/// Publishes ports no more.
///
/// # Errors
/// There is no such VM, or it does not publish such a port.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let vm = context
        .session
        .read(|client| async move { client.vm(reference).await })
        .await?;
    let mut change = ChangePorts::default();
    for text in &args.ports {
        change.remove.extend(meant(&vm, text)?);
    }
    super::change(reference, &change, context).await
}

/// The published ports that a user means.
fn meant(vm: &Vm, text: &str) -> Result<Vec<Publish>, Failure> {
    let asked = super::port(text).map_err(Failure::usage)?;
    if text.contains(':') {
        return Ok(vec![asked]);
    }
    let found: Vec<Publish> = vm
        .publish
        .iter()
        .filter(|one| one.guest_port == asked.guest_port)
        .cloned()
        .collect();
    match found.is_empty() {
        true => Err(Failure::usage(format!(
            "VM \"{}\" does not publish port {}: banger vm port list {} shows all",
            vm.name, asked.guest_port, vm.name
        ))),
        false => Ok(found),
    }
}
