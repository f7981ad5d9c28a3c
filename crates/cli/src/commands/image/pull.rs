//! `banger image pull`

use std::path::Path;

use banger_api::ImageName;
use banger_api::image::Image;
use banger_api::pull::{PullImage, PullSource};
use banger_client::Client;
use banger_registry::CredentialFiles;

use super::made::made;
use super::place::Place;
use super::seed::Seed;
use super::stdin::Spooled;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::host_path::absolute;
use crate::view::image::Made;

/// Arguments of `banger image pull`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
IMAGE is a reference of a registry, or a path: an OCI layout, an archive of one, or what `docker save` \
writes; - is standard input. What begins with / or . is a path, and so is what is there; docker://, oci:, \
oci-archive: and docker-archive: are understood. Layers are fetched side by side, \
verified and kept: an interrupted pull goes on where it was. Pulled again, an image takes the name from the \
older one of its reference; VMs keep what they are made from, under a name that ends in its digest, and it \
goes with the last of them. Credentials are those of docker and podman (docker login, podman login).

Examples:
  banger image pull debian:12
  banger image pull registry.example.com/team/app:1.4 --name app
  banger image pull localhost:5000/app
  banger image pull ./layout --tag v1
  docker save app:1 | banger image pull - --name app
  banger image pull saved.tar --name app --work-seed none")]
pub struct Args {
    /// A reference, the path of an OCI layout or an archive, or - for standard input
    image: String,
    /// The image's name [default: the last part of the reference, or the file's name with the tag]
    #[arg(long, value_name = "NAME")]
    name: Option<ImageName>,
    /// The platform, as linux/amd64 [default: this host's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Image of a layout or an archive: a tag, a full name or a digest
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Speak to the registry without encryption (at loopback that is done anyway)
    #[arg(long)]
    plain_http: bool,
    /// Take the name from an image of another reference, too; its VMs keep that one
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    seed: Seed,
}

/// Pulls the image and prints its name.
///
/// # Errors
/// It cannot be pulled.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let (work_seed, seed_size) = args.seed.wanted()?;
    let mut spooled = None;
    let source = match Place::of_source(&args.image)? {
        Place::Named(_) if args.tag.is_some() => {
            return Err(Failure::usage(
                "--tag chooses an image of a layout or an archive; a reference has its tag behind a colon",
            ));
        }
        Place::Named(reference) => registry(reference, args.plain_http)?,
        Place::Path { path, tag } => PullSource::Path {
            path: absolute(Path::new(&path))?,
            tag: args.tag.or(tag),
            called: None,
        },
        Place::Stdin => {
            if args.name.is_none() {
                return Err(Failure::usage(
                    "an image on standard input needs a name: --name NAME",
                ));
            }
            let path = spooled.insert(Spooled::read(context)?).path();
            PullSource::Path {
                path,
                tag: args.tag,
                called: Some("standard input".to_owned()),
            }
        }
    };
    let pull = PullImage {
        source,
        name: args.name,
        platform: args.platform,
        work_seed,
        seed_size,
        replace: args.replace,
    };
    let image = pulled(&pull, context).await?;
    drop(spooled);
    context.output.print(&Made(image))
}

/// Pulls an image, with progress, and says what it is.
///
/// # Errors
/// It cannot be pulled.
pub async fn pulled(pull: &PullImage, context: &Context) -> Result<Image, Failure> {
    let name = pull.image_name().map_err(|error| {
        Failure::usage(format!(
            "{error}; give the image a name of its own: --name NAME"
        ))
    })?;
    let call = |client: Client| async move { client.pull_image(pull).await };
    made(context, name.as_str(), call).await
}

/// A registry's image, with the credentials of this process's environment.
///
/// # Errors
/// A path of the environment is no text.
pub fn registry(reference: String, plain_http: bool) -> Result<PullSource, Failure> {
    let files = CredentialFiles::of_environment(&|name| std::env::var_os(name));
    let files: Result<Vec<String>, Failure> =
        files.paths().iter().map(|path| absolute(path)).collect();
    Ok(PullSource::Registry {
        reference,
        plain_http,
        auth_files: Some(files?),
        helper_path: std::env::var("PATH").ok(),
        public_only: false,
    })
}
