//! `banger vm save`

use banger_api::ImageName;
use banger_api::image::SaveVm;

use crate::commands::image::seed::Seed;
use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::view::image::Made;

/// Arguments of `banger vm save`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The image has all that the VM's own kernel sees: the image that the VM was made from, what was changed in it, and the work
disk as its /root. What is the VM's alone (machine id, SSH host keys) stays out, and so does what Docker keeps in its own
directories. The VM is not changed.

Examples:
  banger vm save web web-2026
  banger vm save web bare --work-seed none    new VMs start with an empty /root")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The image's name
    image: ImageName,
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
    };
    let vm = &args.vm;
    let accepted = start(
        context,
        |client| async move { client.save_vm(vm, save).await },
    )
    .await?;
    let progress = Progress::new(&context.output);
    let how = How::cancelled_with_us();
    follow(context, &progress, accepted.operation, None, how).await?;
    let image = context
        .session
        .read(|client| async move { client.image(save.image.as_str()).await })
        .await?;
    context.output.print(&Made(image))
}
