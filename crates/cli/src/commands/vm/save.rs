//! `banger vm save`

use banger_api::ImageName;
use banger_api::image::SaveVm;
use banger_client::Client;

use crate::commands::image::made::make;
use crate::commands::image::seed::Seed;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm save`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The image has all that the VM's own kernel sees: the image that the VM was made from, what was changed in \
it, and the work disk as its /root. What is the VM's alone (machine id, SSH host keys) stays out, and so \
does what Docker keeps in its own directories. The VM is not changed.

Examples:
  banger vm save web web-2026
  banger vm save web bare --work-seed none  new VMs start with an empty /root")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The image's name
    image: ImageName,
    /// Take the name from the image that has it; its VMs keep that one
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    seed: Seed,
}

/// Makes the image and prints its name.
///
/// # Errors
/// There is no such VM, it runs, or the image cannot be made.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let (work_seed, seed_size) = args.seed.wanted()?;
    let save = &SaveVm {
        image: args.image,
        work_seed,
        seed_size,
        replace: args.replace,
    };
    let vm = &args.vm;
    let call = |client: Client| async move { client.save_vm(vm, save).await };
    make(context, save.image.as_str(), call).await
}
