//! `banger image reseed`

use banger_api::ByteSize;
use banger_api::image::{ReseedImage, WorkSeed};

use super::seed::seed_of;
use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::view::image::Made;

/// Arguments of `banger image reseed`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
New VMs start with this /root; work disks that exist stay as they are. The base is shared, not copied.

Examples:
  banger image reseed debian-bookworm                   its own /root
  banger image reseed debian-bookworm --from ./dotfiles
  banger image reseed debian-bookworm --from none       new VMs start with an empty /root")]
pub struct Args {
    /// The image
    image: String,
    /// What new work disks start from: root (the image's own /root), none (they start empty), or the path of an ext4
    /// image, a tar archive or a directory
    #[arg(long, value_name = "WHAT", default_value = "root")]
    from: String,
    /// Size of the work seed when it is not an ext4 image; it grows to the size of each work disk anyway
    #[arg(long, value_name = "SIZE")]
    seed_size: Option<ByteSize>,
}

/// Makes the seed and prints the image's name.
///
/// # Errors
/// There is no such image, or the seed cannot be made.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let work_seed: WorkSeed = seed_of(&args.from)?;
    let reseed = &ReseedImage {
        work_seed,
        seed_size: args.seed_size,
    };
    let image = &args.image;
    let accepted = start(context, |client| async move {
        client.reseed_image(image, reseed).await
    })
    .await?;
    let progress = Progress::new(&context.output);
    let how = How::cancelled_with_us();
    follow(context, &progress, accepted.operation, None, how).await?;
    let reseeded = context
        .session
        .read(|client| async move { client.image(image).await })
        .await?;
    context.output.print(&Made(reseeded))
}
