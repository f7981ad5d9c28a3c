//! The request that makes an image of a container image.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{ImageName, InvalidName};
use crate::image::WorkSeed;
use crate::size::ByteSize;

/// Make an image of a container image, from a registry or from this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullImage {
    /// Place of the container image.
    pub source: PullSource,
    /// The image's name; absent: derived from the reference or the file's name.
    #[serde(default)]
    pub name: Option<ImageName>,
    /// `OS/ARCHITECTURE[/VARIANT]`, such as `linux/amd64`; absent: the host's own.
    #[serde(default)]
    pub platform: Option<String>,
    /// Initial content of new work disks.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes; absent: the size that fits.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
    /// True to take the name even from an image of another reference. It always takes the name from an older image of
    /// the same reference; VMs made from the older image keep using it.
    #[serde(default)]
    pub replace: bool,
}

/// Place of a container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum PullSource {
    /// In a registry.
    Registry {
        /// `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.
        reference: String,
        /// True to use plain HTTP even when the registry is not at loopback.
        #[serde(default)]
        plain_http: bool,
        /// Absolute paths of files with the user's credentials, in search order; absent: those of the daemon's
        /// environment.
        #[serde(default)]
        auth_files: Option<Vec<String>>,
        /// Folders with the credential helpers that these files name, as in `PATH`; absent: the daemon's own `PATH`.
        #[serde(default)]
        helper_path: Option<String>,
        /// True to connect only to public addresses, redirects and token services included: for requests that come from
        /// a repository's file and not from the user.
        #[serde(default)]
        public_only: bool,
    },
    /// On this host.
    Path {
        /// Absolute path of an OCI layout, an archive of one, or an archive of `docker save`.
        path: String,
        /// Tag that selects one of several images.
        #[serde(default)]
        tag: Option<String>,
        /// Name for the source if its path is not meaningful: `standard input`.
        #[serde(default)]
        called: Option<String>,
    },
}

impl PullImage {
    /// The name for the new image.
    ///
    /// # Errors
    /// No name was given, and none can be derived from the reference or the path.
    pub fn image_name(&self) -> Result<ImageName, InvalidName> {
        match (&self.name, &self.source) {
            (Some(name), _) => Ok(name.clone()),
            (None, PullSource::Registry { reference, .. }) => name_of_reference(reference),
            (None, PullSource::Path { path, tag, .. }) => name_of_path(path, tag.as_deref()),
        }
    }
}

/// `alpine`, `debian:12`, `app` (of `host:5000/team/app:latest`), `app:0123456789ab` (of one with a digest alone).
fn name_of_reference(reference: &str) -> Result<ImageName, InvalidName> {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    let (last, tag) = match last.split_once(':') {
        Some((last, tag)) => (last, Some(tag)),
        None => (last, None),
    };
    let short = digest.and_then(|digest| digest.split_once(':')?.1.get(..12));
    let text = match (tag.or(short), tag) {
        (_, Some("latest")) | (None, _) => last.to_owned(),
        (Some(tag), _) => format!("{last}:{tag}"),
    };
    text.to_ascii_lowercase().parse()
}

/// Derives a name from a file's name, without its first dot and the rest.
fn name_of_path(path: &str, tag: Option<&str>) -> Result<ImageName, InvalidName> {
    let file = path.trim_end_matches('/').rsplit('/').next();
    let file = file.unwrap_or_default().trim_start_matches('.');
    let stem = file.split('.').next().unwrap_or(file);
    // A full name selects an image in an archive, and names the new image as a pull from a registry would.
    if let Some(reference) =
        tag.filter(|tag| tag.contains(['/', ':']) && !tag.starts_with("sha256:"))
    {
        return name_of_reference(reference);
    }
    let mut text = stem.to_ascii_lowercase();
    if let Some(tag) = tag.filter(|tag| *tag != "latest" && !tag.contains(':')) {
        text = format!("{text}:{}", tag.to_ascii_lowercase());
    }
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: PullSource) -> String {
        let pull = PullImage {
            source,
            name: None,
            platform: None,
            work_seed: WorkSeed::Auto,
            seed_size: None,
            replace: false,
        };
        pull.image_name()
            .map_or_else(|_| "none".to_owned(), |name| name.to_string())
    }

    #[test]
    fn a_reference_names_its_image() {
        let digest = "0123456789abcdef".repeat(4);
        for (reference, name) in [
            ("alpine", "alpine"),
            ("alpine:latest", "alpine"),
            ("debian:12", "debian:12"),
            ("localhost:5000/team/app", "app"),
            ("localhost:5000/team/app:V1", "app:v1"),
            (&format!("host/app@sha256:{digest}"), "app:0123456789ab"),
            (&format!("host/app:1@sha256:{digest}"), "app:1"),
            ("", "none"),
        ] {
            let source = PullSource::Registry {
                reference: reference.to_owned(),
                plain_http: false,
                auth_files: None,
                helper_path: None,
                public_only: false,
            };
            assert_eq!(of(source), name, "{reference}");
        }
    }

    #[test]
    fn a_file_names_its_image() {
        for (path, tag, name) in [
            ("/x/App.tar.gz", None, "app"),
            ("/x/layout/", Some("v1"), "layout:v1"),
            ("/x/.hidden", Some("latest"), "hidden"),
            ("/x/two.tar", Some("docker.io/library/db:1"), "db:1"),
            ("/", None, "none"),
        ] {
            let source = PullSource::Path {
                path: path.to_owned(),
                tag: tag.map(str::to_owned),
                called: None,
            };
            assert_eq!(of(source), name, "{path}");
        }
    }
}
