//! `banger image delete`

use super::show;
use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::references;
use crate::view::shown::{Removed, Shown};

/// Arguments of `banger image delete`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
An image that VMs use stays: delete them first.

Examples:
  banger image delete old-image")]
pub struct Args {
    /// Names of images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Deletes images and prints their names.
///
/// # Errors
/// One of them is not there, is in use, or cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let images = show::resolve(&args.images, context).await?;
    let progress = &Progress::new(&context.output);
    let results = references::act(images, |image| async move {
        let name = image.name.as_str();
        let accepted = start(
            context,
            |client| async move { client.delete_image(name).await },
        )
        .await?;
        let how = How::default();
        follow(context, progress, accepted.operation, Some(name), how).await?;
        Ok(Removed::new(name, None))
    })
    .await;
    results.print(context, Shown)
}
