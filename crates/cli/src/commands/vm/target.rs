//! Meaning of the bare word of `run`: a repository that goes into the VM, or the image that the VM is made of.
//!
//! ```text
//! oci:…, docker-archive:…, docker://…        image
//! what is there:  git repository, folder     repository
//!                 layout, file               image
//! what is not:    begins with / . ~          repository (which is missing)
//!                 folder/…, folder is there  refused: it may be either
//!                 else                       image
//! ```

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode};

use super::image::Wanted;
use crate::commands::image::place::{Place, is_image_file};
use crate::failure::Failure;

/// Meaning of the word.
#[derive(Debug)]
pub enum Target {
    /// A folder of a git repository.
    Repository(PathBuf),
    /// An image.
    Image(Wanted),
}

impl Target {
    /// Tells what `word` means.
    ///
    /// # Errors
    /// It may mean both, or neither.
    pub fn of(word: &OsStr) -> Result<Self, Failure> {
        let path = Path::new(word);
        if path.exists() {
            return match is_image_file(path) {
                true => Wanted::of_file(path)
                    .map(Self::Image)
                    .map_err(Failure::usage),
                false => Ok(Self::Repository(path.to_owned())),
            };
        }
        let Some(text) = word.to_str() else {
            return Ok(Self::Repository(path.to_owned()));
        };
        let image = |wanted: Result<Wanted, String>| wanted.map(Self::Image);
        match Place::of_name(text)? {
            Place::Path { path, tag: Some(_) } if is_image_file(Path::new(&path)) => {
                image(text.parse()).map_err(Failure::usage)
            }
            Place::Path { .. } if text.starts_with(['/', '.']) => {
                Ok(Self::Repository(path.to_owned()))
            }
            Place::Named(name) if name == text => {
                unclear(text)?;
                image(Wanted::of_word(text)).map_err(|why| neither(text, &why))
            }
            _ => image(text.parse()).map_err(Failure::usage),
        }
    }
}

/// Refuses `text` when it may be a slip in the name of a folder.
fn unclear(text: &str) -> Result<(), Failure> {
    if text.starts_with('~') {
        return Err(neither(text, "a shell would have made a path of it"));
    }
    let folder = match text.split_once('/') {
        Some((first, _)) if !text.contains([':', '@']) && Path::new(first).is_dir() => first,
        _ => return Ok(()),
    };
    let message = format!(
        "\"{text}\" is not there, and folder \"{folder}\" is: it may be a repository or an image"
    );
    Err(ApiError::new(ErrorCode::InvalidArgument, message)
        .hint(format!(
            "./{text} is the repository, --image {text} the image"
        ))
        .into())
}

fn neither(text: &str, why: &str) -> Failure {
    let message = format!("\"{text}\" is no folder here, and no image: {why}");
    ApiError::new(ErrorCode::InvalidArgument, message)
        .hint("banger run PATH takes a git repository, banger run IMAGE an image; a command stands after --")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, String> {
        match Target::of(OsStr::new(text)) {
            Ok(Target::Repository(_)) => Ok("repository".to_owned()),
            Ok(Target::Image(image)) => Ok(format!("image {}", image.name())),
            Err(failure) => Err(failure.error().unwrap().message.clone()),
        }
    }

    #[test]
    fn what_is_there_wins_and_what_is_not_is_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(at("repository")).unwrap();
        std::fs::create_dir(at("layout")).unwrap();
        std::fs::write(at("layout/index.json"), "{}").unwrap();
        std::fs::write(at("saved.tar"), "").unwrap();
        for (text, expected) in [
            (at("repository"), "repository"),
            (at("absent"), "repository"),
            ("./absent".to_owned(), "repository"),
            (at("layout"), "image layout"),
            (format!("oci:{}", at("layout")), "image layout"),
            (format!("{}:v1", at("layout")), "image layout:v1"),
            (at("saved.tar"), "image saved"),
            ("alpine".to_owned(), "image alpine"),
            ("debian:12".to_owned(), "image debian:12"),
            ("docker://alpine".to_owned(), "image alpine"),
            ("localhost:5000/team/app".to_owned(), "image app"),
            ("grafana/grafana".to_owned(), "image grafana"),
        ] {
            assert_eq!(of(&text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_may_be_both_or_neither_is_refused() {
        // The folder of this crate's sources, from where its tests run.
        let unclear = of("src/absent").unwrap_err();
        assert!(
            unclear.ends_with("it may be a repository or an image"),
            "{unclear}"
        );
        assert_eq!(of("src/absent:1").as_deref(), Ok("image absent:1"));
        let neither = of("Not An Image").unwrap_err();
        assert!(
            neither.contains("is no folder here, and no image"),
            "{neither}"
        );
    }
}
