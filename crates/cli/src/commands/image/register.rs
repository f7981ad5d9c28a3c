//! `banger image register`

use std::path::PathBuf;

use banger_api::ImageName;
use banger_api::image::RegisterImage;
use banger_client::Client;

use super::made::make;
use super::seed::Seed;
use crate::context::Context;
use crate::failure::Outcome;
use crate::host_path::absolute;

/// Arguments of `banger image register`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The file system is copied in: the original may change or go afterwards. Container images (OCI layouts and \
archives) are added with banger image pull.

Examples:
  banger image register alpine --rootfs alpine-rootfs.tar
  banger image register tools --rootfs ./tree --work-seed ./home --seed-size 2G
  banger image register disk --rootfs rootfs.ext4")]
pub struct Args {
    /// The image's name
    name: ImageName,
    /// An ext4 image, a tar archive or a directory
    #[arg(long, value_name = "PATH")]
    rootfs: PathBuf,
    /// Take the name from the image that has it; its VMs keep that one
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    seed: Seed,
}

/// Makes the image and prints its name.
///
/// # Errors
/// It cannot be made.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let (work_seed, seed_size) = args.seed.wanted()?;
    let register = &RegisterImage {
        name: args.name,
        rootfs: absolute(&args.rootfs)?,
        work_seed,
        seed_size,
        replace: args.replace,
    };
    let call = |client: Client| async move { client.register_image(register).await };
    make(context, register.name.as_str(), call).await
}
