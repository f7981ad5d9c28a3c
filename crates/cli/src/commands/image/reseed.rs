//! `banger image reseed`

use banger_api::ByteSize;
use banger_api::image::{ReseedImage, WorkSeed};
use banger_client::Client;

use super::made::make;
use super::seed::seed_of;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger image reseed`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
New VMs start with this /root; work disks that exist stay as they are. The base is shared, not copied.

Examples:
  banger image reseed debian-bookworm              its own /root
  banger image reseed debian-bookworm --from ./dotfiles
  banger image reseed debian-bookworm --from none  an empty /root")]
pub struct Args {
    /// The image
    image: String,
    /// Start of new work disks: root (the image's own /root), none (they start empty), or the path of an ext4
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
    let call = |client: Client| async move { client.reseed_image(image, reseed).await };
    make(context, image, call).await
}
