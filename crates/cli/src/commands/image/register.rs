//! `banger image register`

use std::path::PathBuf;

use banger_api::ImageName;
use banger_api::image::RegisterImage;

use super::seed::Seed;
use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::host_path::absolute;
use crate::progress::Progress;
use crate::view::image::Made;

/// Arguments of `banger image register`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file system is copied in: the original may change or go afterwards. Container images (OCI layouts and archives) are
added with banger image pull.

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
    };
    let accepted = start(context, |client| async move {
        client.register_image(register).await
    })
    .await?;
    let progress = Progress::new(&context.output);
    let how = How::cancelled_with_us();
    follow(context, &progress, accepted.operation, None, how).await?;
    let image = context
        .session
        .read(|client| async move { client.image(register.name.as_str()).await })
        .await?;
    context.output.print(&Made(image))
}
