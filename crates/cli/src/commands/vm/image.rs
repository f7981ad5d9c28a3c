//! The image that `--image` names: one that is there, or one that is pulled first.

use std::str::FromStr;

use banger_api::image::WorkSeed;
use banger_api::pull::PullImage;
use banger_api::{ApiError, ErrorCode, ImageName};
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
    })
}

impl Wanted {
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

#[cfg(test)]
mod tests {
    use super::*;

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
