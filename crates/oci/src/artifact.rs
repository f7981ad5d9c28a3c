//! Kind of a manifest: an image, or one of the many other things that registries keep.

use std::fmt;

/// Kind of a manifest, or of an entry in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An image, or an index of some.
    Image,
    /// Something else: its name, with an article.
    Artifact(String),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => f.write_str("an image"),
            Self::Artifact(what) => f.write_str(what),
        }
    }
}

/// Media types of configurations of images.
const IMAGES: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];
/// The media type of a configuration that is none.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Parts of media types of other artifacts than images, each with a name for people.
const NAMES: [(&str, &str); 13] = [
    ("vnd.cncf.helm", "a Helm chart"),
    ("spdx", "a software bill of materials (SBOM)"),
    ("cyclonedx", "a software bill of materials (SBOM)"),
    ("syft", "a software bill of materials (SBOM)"),
    ("vnd.in-toto", "an attestation"),
    ("attestation", "an attestation"),
    ("dsse.envelope", "an attestation"),
    ("cosign", "a signature"),
    ("notary.signature", "a signature"),
    ("sigstore", "a signature"),
    ("vnd.wasm", "a WebAssembly module"),
    ("vnd.docker.plugin", "a Docker plugin"),
    ("flux", "a Flux artifact"),
];

/// Longest media type that is told, in characters.
const SHOWN: usize = 100;

/// Kind by the media types of the manifest's `artifactType`, its configuration and its first layer. `None` when they
/// do not tell.
pub(crate) fn kind_of(artifact: Option<&str>, config: &str, layer: Option<&str>) -> Option<Kind> {
    let said = |media: Option<&str>| media.filter(|media| !media.is_empty()).map(str::to_owned);
    if IMAGES.contains(&config) {
        return Some(Kind::Image);
    }
    let media = match (said(artifact), config) {
        (Some(artifact), _) => artifact,
        (None, EMPTY) => said(layer).unwrap_or_else(|| EMPTY.to_owned()),
        (None, config) if is_other(config) => config.to_owned(),
        _ => return None,
    };
    Some(artifact_of(&media))
}

/// Kind of an artifact by its media type `media`. A media type of an image's configuration gives an image.
pub(crate) fn artifact_of(media: &str) -> Kind {
    if IMAGES.contains(&media) {
        return Kind::Image;
    }
    let known = NAMES.iter().find(|(part, _)| media.contains(part));
    Kind::Artifact(match known {
        Some((_, name)) => (*name).to_owned(),
        None => {
            let shown: String = media.chars().take(SHOWN).collect();
            format!("an artifact of type {}", shown.escape_debug())
        }
    })
}

/// Tells whether a configuration's media type is one that images never have. Vague ones (`application/octet-stream`)
/// are not.
fn is_other(config: &str) -> bool {
    config.starts_with("application/vnd.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(artifact: Option<&str>, config: &str, layer: Option<&str>) -> Option<String> {
        kind_of(artifact, config, layer).map(|kind| kind.to_string())
    }

    #[test]
    fn what_registries_keep_besides_images_has_a_name() {
        for (artifact, config, layer, expected) in [
            (None, IMAGES[0], None, Some("an image")),
            (Some("application/x"), IMAGES[1], None, Some("an image")),
            (None, "", Some("x"), None),
            (None, "application/octet-stream", None, None),
            (
                None,
                "application/vnd.cncf.helm.config.v1+json",
                None,
                Some("a Helm chart"),
            ),
            (
                Some("application/spdx+json"),
                EMPTY,
                None,
                Some("a software bill of materials (SBOM)"),
            ),
            (
                None,
                EMPTY,
                Some("text/plain"),
                Some("an artifact of type text/plain"),
            ),
        ] {
            assert_eq!(told(artifact, config, layer).as_deref(), expected);
        }
    }
}
