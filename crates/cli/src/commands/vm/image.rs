//! The image that `--image` names: one that is there, or one that is pulled first.

use std::str::FromStr;

use banger_api::image::WorkSeed;
use banger_api::pull::PullImage;
use banger_api::{ApiError, ErrorCode, ImageName};
use banger_image::Recipe;
use banger_oci::Reference;

use crate::commands::image::pull::{pulled, registry};
use crate::context::Context;
use crate::failure::Failure;

/// An image as it is named.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// By its name here. One that is not there may be a slip: it is never looked for elsewhere.
    Name(ImageName),
    /// By a reference of a registry: it has a `/`, a `:` or an `@`.
    Reference {
        /// What it is called here.
        name: ImageName,
        /// The whole reference.
        reference: Reference,
        /// It says from which registry or by whom, so that an image of the same name may be another one.
        qualified: bool,
    },
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains(['/', ':', '@']) {
            return text
                .parse()
                .map(Self::Name)
                .map_err(|error| format!("{error}"));
        }
        let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
        let name = request(text.to_owned())
            .and_then(|pull| {
                pull.image_name()
                    .map_err(|error| Failure::usage(format!("{error}")))
            })
            .map_err(|failure| failure.error().map(ToString::to_string).unwrap_or_default())?;
        Ok(Self::Reference {
            name,
            reference,
            qualified: text.contains(['/', '@']),
        })
    }
}

fn request(reference: String) -> Result<PullImage, Failure> {
    Ok(PullImage {
        source: registry(reference, false)?,
        name: None,
        platform: None,
        work_seed: WorkSeed::Auto,
        seed_size: None,
        replace: false,
    })
}

impl Wanted {
    /// The image that a file of a repository names. What is not here yet is pulled only from where anybody may pull: that
    /// this host talks to itself, or to its neighbours, takes the user's own word.
    ///
    /// # Errors
    /// It is no name for an image, or is to come from near by.
    pub async fn of_repository(
        file: &str,
        image: &str,
        context: &Context,
    ) -> Result<Self, Failure> {
        let wanted: Self = image
            .parse()
            .map_err(|why| Failure::usage(format!("{file}: image \"{image}\": {why}")))?;
        let name = wanted.name().as_str();
        let found = context
            .session
            .read(|client| async move { client.image(name).await })
            .await;
        let message = match (&wanted, found) {
            (_, Ok(_)) => return Ok(wanted),
            (_, Err(failure)) if !failure.is(ErrorCode::NotFound) => return Err(failure),
            (Self::Reference { reference, .. }, _) if is_near(reference.registry()) => format!(
                "{file}: image {image} is not here, and {} is not for a repository to ask",
                reference.registry()
            ),
            (Self::Name(name), _) if !Recipe::names().contains(&name.as_str()) => {
                format!("{file}: no image is called \"{name}\"")
            }
            _ => return Ok(wanted),
        };
        Err(ApiError::new(ErrorCode::NotFound, message)
            .hint(format!(
                "banger image pull {image} --name {name} brings it in; --image NAME takes another one"
            ))
            .into())
    }

    /// What it is called here.
    pub fn name(&self) -> &ImageName {
        match self {
            Self::Name(name) | Self::Reference { name, .. } => name,
        }
    }

    /// Pulls it when it is a reference and not here yet.
    ///
    /// # Errors
    /// It cannot be pulled, or another image has its name.
    pub async fn pull(&self, context: &Context) -> Result<(), Failure> {
        let Self::Reference {
            name,
            reference,
            qualified,
        } = self
        else {
            return Ok(());
        };
        let wanted = name.as_str();
        let found = context
            .session
            .read(|client| async move { client.image(wanted).await })
            .await;
        match found {
            Ok(image) if !qualified || image.source == format!("container {reference}") => Ok(()),
            Ok(image) => Err(ApiError::new(
                ErrorCode::NameTaken,
                format!("image \"{name}\" is not {reference} but {}", image.source),
            )
            .hint(format!(
                "pull it under another name: banger image pull {reference} --name NAME"
            ))
            .into()),
            Err(failure) if failure.is(ErrorCode::NotFound) => {
                pulled(&request(reference.to_string())?, context).await?;
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Whether a registry may be this host or one of its network: an address, or a name without a dot.
fn is_near(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    let host = host.trim_end_matches('.');
    let top = host.rsplit('.').next().unwrap_or_default();
    // A name whose last part is a number is an address, in whatever old way it is written (WHATWG URL, 3.5).
    let is_number = top.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    host.contains(':')
        || is_number
        || !host.contains('.')
        || matches!(top, "localhost" | "local" | "internal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_near_by_are_told_from_those_of_the_world() {
        for near in [
            "localhost:5000",
            "127.0.0.1",
            "127.1",
            "10.0.0.7:443",
            "[::1]:5000",
            "registry",
            "db.localhost",
            "169.254.169.254",
            "localhost.",
            "host.internal",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in ["registry.example.org", "example.org:5000"] {
            assert!(!is_near(far), "{far}");
        }
    }

    #[test]
    fn a_bare_word_is_a_name_and_all_else_a_reference() {
        assert!(matches!("debian-minimal".parse(), Ok(Wanted::Name(_))));
        for (text, name, qualified) in [
            ("debian:12", "debian:12", false),
            ("localhost:5000/team/app", "app", true),
        ] {
            match text.parse().unwrap() {
                Wanted::Reference {
                    name: found,
                    qualified: how,
                    ..
                } => assert_eq!((found.as_str(), how), (name, qualified)),
                Wanted::Name(_) => panic!("{text} is a reference"),
            }
        }
        for bad in ["", "Web", "a//b", "a/B"] {
            assert!(bad.parse::<Wanted>().is_err(), "{bad}");
        }
    }
}
