//! Names of images in registries: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.
//!
//! The grammar is that of the distribution project's `reference` package; short names mean Docker Hub, as everywhere.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// Registry of names without one.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// Tag of names with neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";
/// Longest registry and repository together, in bytes.
const MAX_NAME: usize = 255;
/// Longest tag in bytes.
const MAX_TAG: usize = 128;

/// A complete name: nothing is left to guess.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Refusal of a text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// A part that may not look like this.
    #[error("\"{reference}\" names no image: its {part} \"{value}\" {why}")]
    Part {
        /// The whole text.
        reference: String,
        /// Name of the part.
        part: &'static str,
        /// The part.
        value: String,
        /// Fault of the part.
        why: &'static str,
    },
    /// A digest that is none.
    #[error("\"{reference}\" names no image")]
    Digest {
        /// The whole text.
        reference: String,
        /// Fault of the digest.
        #[source]
        source: DigestError,
    },
}

impl Reference {
    /// Host, with a port where one is given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path of the repository, without the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, when there is one; a digest decides over it.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when there is one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let shown = || text.chars().take(300).collect::<String>();
        let bad = |part, value: &str, why| ReferenceError::Part {
            reference: shown(),
            part,
            value: value.chars().take(300).collect(),
            why,
        };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|source| ReferenceError::Digest {
                    reference: shown(),
                    source,
                })?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before a slash is that of a port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(bad(
                "tag",
                tag,
                "is not 1 to 128 of letters, digits, '_', '.', '-'",
            ));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest.to_owned()),
            _ => (DEFAULT_REGISTRY, name.to_owned()),
        };
        let repository = match registry {
            "docker.io" | "index.docker.io" if !path.contains('/') => format!("library/{path}"),
            _ => path,
        };
        let registry = if registry == "index.docker.io" {
            DEFAULT_REGISTRY
        } else {
            registry
        };
        if !is_registry(registry) {
            return Err(bad(
                "registry",
                registry,
                "is no host name with an optional port",
            ));
        }
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(bad("name", name, "is longer than 255 bytes"));
        }
        if !repository.split('/').all(is_component) {
            return Err(bad(
                "repository",
                &repository,
                "is not lower case, with single separators",
            ));
        }
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Tells whether the first part of a name is a host, rather than a user's name on Docker Hub.
fn is_host(part: &str) -> bool {
    part == "localhost"
        || part.contains(['.', ':'])
        || part.starts_with('[')
        || part.chars().any(char::is_uppercase)
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        edge(bytes.first())
            && edge(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    let host_is_good = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    host_is_good && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= MAX_TAG
        && bytes.first().is_some_and(|&byte| word(byte))
        && bytes
            .iter()
            .all(|&byte| word(byte) || byte == b'.' || byte == b'-')
}

/// Lower-case letters and digits, between which one '.', one or two '_', or any number of '-' may stand.
fn is_component(part: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let edges = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
    edges
        && bytes.split(is_word).all(|separator| match separator {
            b"" | b"." | b"_" | b"__" => true,
            other => other.iter().all(|&byte| byte == b'-'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn short_names_are_completed() {
        assert_eq!(full("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("user/tool:1.2"), "docker.io/user/tool:1.2");
        assert_eq!(
            full("index.docker.io/debian"),
            "docker.io/library/debian:latest"
        );
        assert_eq!(
            full("localhost:5000/a/b__c-d"),
            "localhost:5000/a/b__c-d:latest"
        );
        assert_eq!(full("localhost/x"), "localhost/x:latest");
        assert_eq!(full("[::1]:5000/x:y"), "[::1]:5000/x:y");
    }

    #[test]
    fn a_digest_needs_no_tag() {
        let digest = Digest::of(b"");
        assert_eq!(
            full(&format!("quay.io/a@{digest}")),
            format!("quay.io/a@{digest}")
        );
        assert_eq!(
            full(&format!("quay.io/a:b@{digest}")),
            format!("quay.io/a:b@{digest}")
        );
    }

    #[test]
    fn what_names_no_image_is_refused_with_the_part() {
        let long = "a".repeat(260);
        for (bad, part) in [
            ("", "repository"),
            ("Alpine", "repository"),
            ("a//b", "repository"),
            ("a/../b", "repository"),
            ("a..b", "repository"),
            ("-a", "repository"),
            ("a:", "tag"),
            ("a:.x", "tag"),
            ("a:x y", "tag"),
            ("-bad.host/a", "registry"),
            ("host:99999/a", "registry"),
            (&long, "name"),
        ] {
            match bad.parse::<Reference>() {
                Err(ReferenceError::Part { part: found, .. }) => assert_eq!(found, part, "{bad}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
        assert!(matches!(
            "a@sha256:12".parse::<Reference>(),
            Err(ReferenceError::Digest { .. })
        ));
    }
}
