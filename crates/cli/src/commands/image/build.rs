//! `banger image build`

use banger_api::ImageName;
use banger_api::image::BuildImage;

use super::seed::Seed;
use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::view::image::Made;

/// Arguments of `banger image build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Recipes:
  debian-bookworm   systemd, OpenSSH server, git, curl, python3 and build basics
  debian-minimal    no init system: the agent is process 1

Examples:
  banger image build debian-minimal
  banger image build debian-bookworm --name work --work-seed ./home")]
pub struct Args {
    /// The recipe
    recipe: String,
    /// The image's name [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    name: Option<ImageName>,
    #[command(flatten)]
    seed: Seed,
}

/// Builds the image and prints its name.
///
/// # Errors
/// It cannot be built.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let name = args
        .name
        .as_ref()
        .map_or(args.recipe.clone(), ToString::to_string);
    let (work_seed, seed_size) = args.seed.wanted()?;
    let build = &BuildImage {
        recipe: args.recipe,
        name: args.name,
        work_seed,
        seed_size,
    };
    let accepted = start(
        context,
        |client| async move { client.build_image(build).await },
    )
    .await?;
    let progress = Progress::new(&context.output);
    let how = How::cancelled_with_us();
    follow(context, &progress, accepted.operation, None, how).await?;
    let name = &name;
    let image = context
        .session
        .read(|client| async move { client.image(name).await })
        .await?;
    context.output.print(&Made(image))
}
