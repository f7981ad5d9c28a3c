//! `banger image rename`

use banger_api::ImageName;
use banger_api::image::RenameImage;

use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::view::image::Made;

/// Arguments of `banger image rename`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
VMs made from it go on, and know it by its new name.

Examples:
  banger image rename work work-2026")]
pub struct Args {
    /// Its name
    image: String,
    /// Its new name
    name: ImageName,
}

/// Renames the image and prints its new name.
///
/// # Errors
/// It is not there, or the name is taken.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let (image, rename) = (&args.image, &RenameImage { name: args.name });
    let accepted = start(context, |client| async move {
        client.rename_image(image, rename).await
    })
    .await?;
    let progress = Progress::new(&context.output);
    follow(context, &progress, accepted.operation, None, How::default()).await?;
    let renamed = context
        .session
        .read(|client| async move { client.image(rename.name.as_str()).await })
        .await?;
    context.output.print(&Made(renamed))
}
