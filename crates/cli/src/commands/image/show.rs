//! `banger image show`

use banger_api::image::Image;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::references;
use crate::view::image::Whole;
use crate::view::shown::Shown;

/// Arguments of `banger image show`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger image show debian-minimal
  banger image show debian-minimal --json | jq '.[].digest'")]
pub struct Args {
    /// Names of images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Prints all about images.
///
/// # Errors
/// One of them is not there.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let images = resolve(&args.images, context).await?;
    let shown = images.into_iter().map(Whole).collect();
    context.output.print(&Shown(shown))
}

/// The images that are named, each once.
pub(super) async fn resolve(names: &[String], context: &Context) -> Result<Vec<Image>, Failure> {
    let find = |name: String| async move {
        let name = &name;
        context
            .session
            .read(|client| async move { client.image(name).await })
            .await
    };
    references::resolve(names, find, |image| image.name.clone()).await
}
