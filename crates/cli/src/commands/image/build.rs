//! `banger image build`

use banger_api::ImageName;
use banger_api::image::BuildImage;
use banger_client::Client;

use super::made::make;
use super::seed::Seed;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger image build`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Recipes:
  debian-bookworm   systemd, OpenSSH server, git, curl, python3 and build basics
  debian-docker     debian-bookworm with Docker, Compose, podman and buildah
  debian-minimal    no init system: the agent is process 1

Examples:
  banger image build debian-minimal
  banger image build debian-minimal --replace  anew, with today's packages
  banger image build debian-bookworm --name work --work-seed ./home")]
pub struct Args {
    /// The recipe
    recipe: String,
    /// The image's name [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    name: Option<ImageName>,
    /// Take the name from the image that has it; its VMs keep that one
    #[arg(long)]
    replace: bool,
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
        replace: args.replace,
    };
    let call = |client: Client| async move { client.build_image(build).await };
    make(context, &name, call).await
}
