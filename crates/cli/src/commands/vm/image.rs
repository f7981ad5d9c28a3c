//! The image that a new VM is made of: one that is there, or one that is pulled first.

use std::path::Path;
use std::str::FromStr;

use banger_api::image::{Image, WorkSeed};
use banger_api::pull::{PullImage, PullSource};
use banger_api::{ApiError, ErrorCode, ImageName};
use banger_image::Recipe;
use banger_oci::Reference;

use crate::commands::image::place::Place;
use crate::commands::image::pull::{pulled, registry};
use crate::context::Context;
use crate::failure::Failure;
use crate::host_path::absolute;

/// An image as it is named.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// By its name here. One that is not there may be a slip: it is never looked for elsewhere.
    Name(ImageName),
    /// By a reference of a registry: it has a `/`, a `:` or an `@`.
    Reference(Referred),
    /// By a word that names an image here, a recipe, or an image of the default registry, as other tools take it.
    Word(Referred),
    /// By the path of a layout or an archive.
    File(Box<PullImage>, ImageName),
}

/// An image of a registry.
#[derive(Debug, Clone)]
pub struct Referred {
    /// Its name here.
    name: ImageName,
    /// The whole reference.
    reference: Reference,
    /// It says from which registry or by whom, so that an image of the same name may be another one.
    qualified: bool,
    /// Only public addresses are asked: a file of a repository has named it, not the user.
    public_only: bool,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Place::of_name(text).map_err(|failure| told(&failure))? {
            Place::Named(name) if name == text && !text.contains(['/', ':', '@']) => text
                .parse()
                .map(Self::Name)
                .map_err(|error| format!("{error}")),
            Place::Named(name) => Referred::of(&name).map(Self::Reference),
            Place::Path { path, tag } => file(&path, tag),
            Place::Stdin => Err(
                "an image on standard input is pulled first: banger image pull - --name NAME"
                    .to_owned(),
            ),
        }
    }
}

impl Referred {
    fn of(text: &str) -> Result<Self, String> {
        let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
        let source = registry(text.to_owned(), false).map_err(|failure| told(&failure))?;
        let name = request(source).image_name();
        Ok(Self {
            name: name.map_err(|error| format!("{error}"))?,
            reference,
            qualified: text.contains(['/', '@']),
            public_only: false,
        })
    }

    /// An image of this name may be the one that is meant.
    fn may_be(&self, image: &Image) -> bool {
        !self.qualified || is_made_of(image, &self.reference)
    }

    async fn pull(&self, context: &Context) -> Result<(), Failure> {
        let mut source = registry(self.reference.to_string(), false)?;
        if let PullSource::Registry { public_only, .. } = &mut source {
            *public_only = self.public_only;
        }
        pulled(&request(source), context).await.map(drop)
    }
}

fn told(failure: &Failure) -> String {
    match failure.error() {
        Some(ApiError {
            message,
            hint: Some(hint),
            ..
        }) => format!("{message} ({hint})"),
        Some(error) => error.message.clone(),
        None => String::new(),
    }
}

fn request(source: PullSource) -> PullImage {
    PullImage {
        source,
        name: None,
        platform: None,
        work_seed: WorkSeed::Auto,
        seed_size: None,
        replace: false,
    }
}

/// The image in a layout or an archive.
fn file(path: &str, tag: Option<String>) -> Result<Wanted, String> {
    if !Path::new(path).exists() {
        return Err(format!("there is no {path}"));
    }
    let path = absolute(Path::new(path)).map_err(|failure| told(&failure))?;
    let pull = request(PullSource::Path {
        path,
        tag,
        called: None,
    });
    let name = pull.image_name().map_err(|error| {
        format!("{error}; give it a name of its own: banger image pull PATH --name NAME")
    })?;
    Ok(Wanted::File(Box::new(pull), name))
}

impl Wanted {
    /// The image in the layout or archive at `path`.
    ///
    /// # Errors
    /// It is not there, or has no name that an image can have.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        match path.to_str() {
            Some(text) => file(text, None),
            None => Err(format!("path \"{}\" is not UTF-8", path.display())),
        }
    }

    /// The image that a word names where other tools would take it from a registry.
    ///
    /// # Errors
    /// It is no name for an image.
    pub fn of_word(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Self::Name(_) => Referred::of(text).map(Self::Word),
            other => Ok(other),
        }
    }

    /// The image that a file of a repository names. What is not here yet is pulled only from where anybody may pull:
    /// that this host talks to itself, or to its neighbours, takes the user's own word.
    ///
    /// # Errors
    /// It is no name for an image, or names a file of this host.
    pub async fn of_repository(
        file: &str,
        image: &str,
        context: &Context,
    ) -> Result<Self, Failure> {
        let mut wanted: Self = image
            .parse()
            .map_err(|why| Failure::usage(format!("{file}: image \"{image}\": {why}")))?;
        match &mut wanted {
            Self::Reference(referred) | Self::Word(referred) => referred.public_only = true,
            Self::Name(_) => {}
            Self::File(..) => {
                return Err(Failure::usage(format!(
                    "{file}: image \"{image}\" is a path of this host, which a repository cannot ask for"
                )));
            }
        }
        let name = wanted.name().as_str();
        let found = context
            .session
            .read(|client| async move { client.image(name).await })
            .await;
        let message = match (&wanted, found) {
            (_, Ok(_)) => return Ok(wanted),
            (_, Err(failure)) if !failure.is(ErrorCode::NotFound) => return Err(failure),
            (Self::Name(name), _) if !is_recipe(name) => {
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

    /// Its name here.
    pub fn name(&self) -> &ImageName {
        match self {
            Self::Name(name) | Self::File(_, name) => name,
            Self::Reference(referred) | Self::Word(referred) => &referred.name,
        }
    }

    /// The name of the image that is meant when it is not the one that is called `name` here.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub async fn other_than(
        &self,
        name: &ImageName,
        context: &Context,
    ) -> Result<Option<String>, Failure> {
        if self.name() != name {
            return Ok(Some(self.name().to_string()));
        }
        let referred = match self {
            Self::Name(_) => return Ok(None),
            // It is refused when another image has its name.
            Self::File(..) => return self.pull(context).await.map(|()| None),
            Self::Reference(referred) | Self::Word(referred) => referred,
        };
        let found = context
            .session
            .read(|client| async move { client.image(name.as_str()).await })
            .await;
        match found {
            Ok(image) if !referred.may_be(&image) => Ok(Some(referred.reference.to_string())),
            // A VM outlives the image that it was made of.
            Ok(_) => Ok(None),
            Err(failure) if failure.is(ErrorCode::NotFound) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Pulls it when it is a reference and not here yet.
    ///
    /// # Errors
    /// It cannot be pulled, or another image has its name.
    pub async fn pull(&self, context: &Context) -> Result<(), Failure> {
        let (referred, is_word) = match self {
            Self::Name(_) => return Ok(()),
            // Whether it is the one that is here shows in its digest: that costs reading its index.
            Self::File(pull, _) => return pulled(pull, context).await.map(drop),
            Self::Reference(referred) => (referred, false),
            Self::Word(referred) => (referred, true),
        };
        let (name, reference) = (&referred.name, &referred.reference);
        let found = context
            .session
            .read(|client| async move { client.image(name.as_str()).await })
            .await;
        match found {
            Ok(image) if referred.may_be(&image) => Ok(()),
            Ok(image) => Err(ApiError::new(
                ErrorCode::NameTaken,
                format!("image \"{name}\" is not {reference} but {}", image.source),
            )
            .hint(format!(
                "pull it under another name: banger image pull {reference} --name NAME"
            ))
            .into()),
            // It is built when the VM is made.
            Err(failure) if failure.is(ErrorCode::NotFound) && is_word && is_recipe(name) => Ok(()),
            Err(failure) if failure.is(ErrorCode::NotFound) => {
                context.output.note(&format!(
                    "image {name} is not here yet: pulling {reference}, once"
                ));
                referred.pull(context).await
            }
            Err(failure) => Err(failure),
        }
    }
}

/// True when an image was made of the container image that `reference` names.
fn is_made_of(image: &Image, reference: &Reference) -> bool {
    let details = image.details.as_ref();
    details
        .and_then(|details| details.container.as_ref())
        .is_some_and(|container| container.reference == reference.to_string())
}

fn is_recipe(name: &ImageName) -> bool {
    Recipe::names().contains(&name.as_str())
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
            let wanted: Wanted = text.parse().unwrap();
            let Wanted::Reference(referred) = wanted else {
                panic!("{text} is a reference");
            };
            let found = (referred.name.as_str(), referred.qualified);
            assert_eq!(found, (name, qualified));
        }
        assert!(matches!(Wanted::of_word("alpine"), Ok(Wanted::Word(_))));
        assert!(matches!(
            Wanted::of_word("docker://alpine"),
            Ok(Wanted::Reference(_))
        ));
        for bad in ["", "Web", "a//b", "a/B"] {
            assert!(bad.parse::<Wanted>().is_err(), "{bad}");
        }
    }
}
