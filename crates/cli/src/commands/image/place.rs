//! Place of an image that a user names: in a registry, in a file of this host, or on standard input.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use banger_api::{ApiError, ErrorCode};

use crate::failure::Failure;

/// Words of containers-transports(5) before a path; the kind of what is there shows by itself.
const PATHS: [&str; 3] = ["oci:", "oci-archive:", "docker-archive:"];
/// Words before a reference of a registry.
const REGISTRIES: [&str; 3] = ["docker://", "https://", "http://"];
/// Transports that only other tools have.
const FOREIGN: [&str; 4] = ["docker-daemon:", "containers-storage:", "dir:", "ostree:"];

/// Place of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a registry: its reference, or its name here.
    Named(String),
    /// In a layout or an archive of this host.
    Path {
        /// The path as it was given.
        path: String,
        /// The image of it.
        tag: Option<String>,
    },
    /// On standard input.
    Stdin,
}

impl Place {
    /// Of a word that may be a path only when it looks like one: it begins with `/`, `.` or the name of a transport.
    ///
    /// # Errors
    /// It names a transport of another tool.
    pub fn of_name(text: &str) -> Result<Self, Failure> {
        if let Some(foreign) = FOREIGN.iter().find(|prefix| text.starts_with(**prefix)) {
            return Err(other_tool(foreign, text));
        }
        if let Some(path) = PATHS.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            return Ok(Self::path(path));
        }
        if let Some(rest) = REGISTRIES
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
        {
            return Ok(Self::Named(rest.trim_end_matches('/').to_owned()));
        }
        match text.starts_with(['/', '.']) {
            true => Ok(Self::path(text)),
            false => Ok(Self::Named(text.to_owned())),
        }
    }

    /// Of a word that may be a path, a reference, or `-`.
    ///
    /// # Errors
    /// As [`Place::of_name`].
    pub fn of_source(text: &str) -> Result<Self, Failure> {
        if text == "-" || is_stream(Path::new(text)) {
            return Ok(Self::Stdin);
        }
        match Self::of_name(text)? {
            Self::Named(name) if name == text && is_image_file(Path::new(text)) => {
                Ok(Self::path(text))
            }
            place => Ok(place),
        }
    }

    /// A path, with the name of one image of it behind a colon, as `layout:v1` or `saved.tar:app:1.2`: the longest part
    /// that is there is the path.
    fn path(text: &str) -> Self {
        let whole = || Self::Path {
            path: text.to_owned(),
            tag: None,
        };
        if Path::new(text).exists() {
            return whole();
        }
        let mut colons: Vec<usize> = text.match_indices(':').map(|(at, _)| at).collect();
        colons.reverse();
        for at in colons {
            let (path, tag) = (&text[..at], &text[at + 1..]);
            if !tag.is_empty() && Path::new(path).exists() {
                return Self::Path {
                    path: path.to_owned(),
                    tag: Some(tag.to_owned()),
                };
            }
        }
        whole()
    }
}

/// Tells whether `path` is a layout, or a file that may be an archive.
pub fn is_image_file(path: &Path) -> bool {
    path.is_file() || path.join("index.json").is_file()
}

/// Tells whether `path` is a pipe or a terminal: what can be read once, and by this process alone.
fn is_stream(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else {
        return false;
    };
    let kind = metadata.file_type();
    path.starts_with("/dev/stdin") || kind.is_fifo() && path.starts_with("/dev/fd/0")
}

fn other_tool(transport: &str, text: &str) -> Failure {
    let name = text.strip_prefix(transport).unwrap_or(text);
    let hint = match transport {
        "docker-daemon:" => format!("docker save {name} | banger image pull - --name NAME"),
        _ => format!("skopeo copy {text} oci:FOLDER writes a layout that banger image pull takes"),
    };
    ApiError::new(
        ErrorCode::InvalidArgument,
        format!("\"{text}\": images of {transport} are not read"),
    )
    .hint(hint)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Place {
        Place::Named(text.to_owned())
    }

    fn path(path: &str, tag: Option<&str>) -> Place {
        Place::Path {
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
        }
    }

    fn of(text: &str) -> Place {
        Place::of_source(text).unwrap()
    }

    #[test]
    fn transports_of_other_tools_lead_to_what_they_mean() {
        assert_eq!(of("docker://alpine:3"), named("alpine:3"));
        assert_eq!(
            of("https://registry.example/team/app/"),
            named("registry.example/team/app")
        );
        assert_eq!(of("oci:./x"), path("./x", None));
        assert_eq!(of("docker-archive:x.tar"), path("x.tar", None));
        assert_eq!(of("-"), Place::Stdin);
        let refused = Place::of_source("docker-daemon:app:1").unwrap_err();
        let hint = refused.error().unwrap().hint.clone().unwrap();
        assert_eq!(hint, "docker save app:1 | banger image pull - --name NAME");
        assert!(Place::of_name("dir:/x").is_err());
    }

    #[test]
    fn a_path_is_told_from_a_reference_and_the_longest_part_that_is_there_counts() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        fs::create_dir(&layout).unwrap();
        let text = layout.to_str().unwrap();
        assert_eq!(of(text), path(text, None));
        assert_eq!(of(&format!("{text}:v1")), path(text, Some("v1")));
        assert_eq!(
            of(&format!("oci:{text}:docker.io/library/app:1.2")),
            path(text, Some("docker.io/library/app:1.2"))
        );
        let absent = format!("{text}-absent:v1");
        assert_eq!(of(&absent), path(&absent, None));
        assert_eq!(of("../x"), path("../x", None));
        for reference in ["alpine", "debian:12", "localhost:5000/a/b@sha256:00"] {
            assert_eq!(of(reference), named(reference));
        }
    }
}
