//! `banger image pull`

use std::path::Path;

use banger_api::ImageName;
use banger_api::image::Image;
use banger_api::pull::{PullImage, PullSource};
use banger_client::Client;
use banger_registry::CredentialFiles;

use super::made::made;
use super::seed::Seed;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::host_path::absolute;
use crate::view::image::Made;

/// Words before a path that container tools use; the kind of what is there shows by itself.
const PATH_PREFIXES: [&str; 3] = ["oci:", "oci-archive:", "docker-archive:"];

/// Arguments of `banger image pull`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
IMAGE is a reference of a registry, or a path: an OCI layout, an archive of one, or what `docker save` \
writes. What begins with / or . is a path, and so is what is there. Layers are fetched side by side, \
verified and kept: an interrupted pull goes on where it was. Pulled again, an image takes the name from the \
older one of its reference; VMs keep what they are made from, under a name that ends in its digest, and it \
goes with the last of them. Credentials are those of docker and podman (docker login, podman login).

Examples:
  banger image pull debian:12
  banger image pull registry.example.com/team/app:1.4 --name app
  banger image pull localhost:5000/app
  banger image pull ./layout --tag v1
  banger image pull saved.tar --name app --work-seed none")]
pub struct Args {
    /// A reference, or the path of an OCI layout or an archive
    image: String,
    /// The image's name [default: the last part of the reference, or the file's name]
    #[arg(long, value_name = "NAME")]
    name: Option<ImageName>,
    /// The platform, as linux/amd64 [default: this host's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Which image, when a layout or an archive has several
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
    let source = source(&args)?;
    let pull = PullImage {
        source,
        name: args.name,
        platform: args.platform,
        work_seed,
        seed_size,
        replace: args.replace,
    };
    let image = pulled(&pull, context).await?;
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
    })
}

fn source(args: &Args) -> Result<PullSource, Failure> {
    let text = args.image.as_str();
    let prefixed = PATH_PREFIXES
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix));
    let path = match prefixed {
        Some(path) => Some(path),
        None => is_path(text).then_some(text),
    };
    match path {
        Some(path) => {
            let (path, tag) = split_tag(path, args.tag.clone());
            Ok(PullSource::Path {
                path: absolute(Path::new(path))?,
                tag,
            })
        }
        None if args.tag.is_some() => Err(Failure::usage(
            "--tag chooses an image of a layout or an archive; a reference has its tag behind a colon".to_owned(),
        )),
        None => registry(args.image.clone(), args.plain_http),
    }
}

fn is_path(text: &str) -> bool {
    let path = Path::new(text);
    text.starts_with(['/', '.']) || path.is_file() || path.join("index.json").is_file()
}

/// `layout:v1` is the tag `v1` of `layout`, unless there is something of the whole name.
fn split_tag(path: &str, tag: Option<String>) -> (&str, Option<String>) {
    if tag.is_some() || Path::new(path).exists() {
        return (path, tag);
    }
    match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') && Path::new(path).exists() => {
            (path, Some(tag.to_owned()))
        }
        _ => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_a_reference() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        std::fs::create_dir(&layout).unwrap();
        let text = layout.to_str().unwrap().to_owned();
        assert!(is_path(&text) && is_path("./x") && is_path("../x"));
        for reference in ["alpine", "debian:12", "localhost:5000/a/b@sha256:00"] {
            assert!(!is_path(reference), "{reference}");
        }
        let tagged = format!("{text}:v1");
        assert_eq!(split_tag(&tagged, None), (text.as_str(), Some("v1".into())));
        let absent = format!("{text}-absent:v1");
        assert_eq!(split_tag(&absent, None), (absent.as_str(), None));
        assert_eq!(split_tag(&text, Some("x".into())).1.as_deref(), Some("x"));
    }
}
