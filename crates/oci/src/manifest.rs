//! The JSON between a name and its layers: indexes and manifests, OCI's and Docker's.

use serde::Deserialize;

use crate::artifact::{Kind, artifact_of, kind_of};
use crate::config::null;
use crate::digest::Digest;

/// Largest index, manifest or configuration that is read, in bytes (registries allow 4 MiB).
pub const MAX_JSON: u64 = 4 << 20;
/// Most layers of an image (overlayfs and Docker end at 127).
pub const MAX_LAYERS: usize = 500;
/// Most manifests of an index.
pub const MAX_MANIFESTS: usize = 1000;

/// Failure to use a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON of the expected form.
    #[error("its {what} is broken")]
    Json {
        /// Kind of the document, for the message.
        what: &'static str,
        /// Fault of the JSON.
        #[source]
        source: serde_json::Error,
    },
    /// A digest in it is none.
    #[error("its {what} contains an invalid digest")]
    Digest {
        /// Kind of the document, for the message.
        what: &'static str,
        /// Fault of the digest.
        #[source]
        source: crate::digest::DigestError,
    },
    /// More of something than is taken.
    #[error("its {what} lists {count} {of}, at most {limit} are taken")]
    TooMany {
        /// Kind of the document, for the message.
        what: &'static str,
        /// Name of the list's entries, in the plural.
        of: &'static str,
        /// Number of entries.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Docker's first form, in which layers have no digests that can be verified.
    #[error("its manifest is of the outdated first schema: push it again with a current tool")]
    Schema1,
}

/// A blob, as its users name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// The platform that it is made for, where given.
    pub platform: Option<Platform>,
    /// `org.opencontainers.image.ref.name`, where given: the tag in a layout.
    pub ref_name: Option<String>,
    /// `io.containerd.image.name`, where given: the full name in a layout.
    pub image_name: Option<String>,
    /// Its artifact type, where given.
    pub artifact_type: Option<String>,
    /// Tools' mark of an entry that belongs to an image: an attestation, a signature.
    note: Option<String>,
    /// Other places of the blob: a blob with such places is not in registries.
    pub urls: Vec<String>,
}

impl Descriptor {
    /// Its kind, when the entry shows it.
    pub fn kind(&self) -> Option<Kind> {
        match (&self.note, &self.artifact_type) {
            // cosign calls the image itself so.
            (Some(note), _) if note.ends_with("/image") => Some(Kind::Image),
            (Some(note), _) if note.ends_with("/sigs") => {
                Some(Kind::Artifact("a signature".to_owned()))
            }
            (Some(note), _) if note.ends_with("/sboms") => Some(artifact_of("spdx")),
            (Some(note), _) => Some(artifact_of(note)),
            (None, Some(artifact)) => Some(artifact_of(artifact)),
            (None, None) => None,
        }
    }
}

/// Platform that a program needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// Instruction set in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// Operating system: `linux`.
    pub os: String,
    /// Variant of the instruction set, such as `v8`.
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// Platform of this host's guests.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
        }
    }

    /// Tells whether a guest of platform `self` runs programs made for `other`.
    pub fn runs(&self, other: &Self) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Refusal of a text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no platform: use OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, as linux/amd64"
)]
pub struct PlatformError {
    text: String,
}

impl std::str::FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let bad = || PlatformError {
            text: text.chars().take(100).collect(),
        };
        let is_word = |part: &&str| {
            !part.is_empty()
                && part.len() <= 32
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [os, architecture] | [os, architecture, _] if parts.iter().all(is_word) => Ok(Self {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
                variant: parts.get(2).map(|variant| (*variant).to_owned()),
            }),
            _ => Err(bad()),
        }
    }
}

/// An index or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Several images.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Box<Manifest>),
}

/// One image: where its configuration and its layers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The artifact type that it claims.
    pub artifact_type: Option<String>,
}

impl Document {
    /// Its kind, as far as media types tell.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Index(_) => Some(Kind::Image),
            Self::Manifest(manifest) => manifest.kind(),
        }
    }
}

impl Manifest {
    /// Its kind, as far as media types tell.
    pub fn kind(&self) -> Option<Kind> {
        let layer = self.layers.first().map(|layer| layer.media_type.as_str());
        kind_of(
            self.artifact_type.as_deref(),
            &self.config.media_type,
            layer,
        )
    }

    /// Its kind when media types show that it is no image.
    pub fn artifact(&self) -> Option<Kind> {
        self.kind().filter(|kind| *kind != Kind::Image)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    #[serde(default)]
    schema_version: Option<u32>,
    #[serde(default)]
    manifests: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    config: Option<RawDescriptor>,
    #[serde(default)]
    layers: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    artifact_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    digest: String,
    size: u64,
    #[serde(default, deserialize_with = "null")]
    media_type: String,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "null")]
    urls: Vec<String>,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, Option<String>>>,
}

/// Reads an index or a manifest. The content tells one from the other, because a media type is not always given.
///
/// # Errors
/// It is neither, or lists more than the limit.
pub fn parse(bytes: &[u8]) -> Result<Document, DocumentError> {
    const WHAT: &str = "manifest";
    let raw: RawDocument = serde_json::from_slice(bytes)
        .map_err(|source| DocumentError::Json { what: WHAT, source })?;
    if raw.schema_version == Some(1) {
        return Err(DocumentError::Schema1);
    }
    if let Some(manifests) = raw.manifests {
        return Ok(Document::Index(descriptors(
            "index",
            "manifests",
            manifests,
            MAX_MANIFESTS,
        )?));
    }
    let missing = |field| DocumentError::Json {
        what: WHAT,
        source: serde::de::Error::missing_field(field),
    };
    let config = raw.config.ok_or_else(|| missing("config"))?;
    // Go writes null for none.
    let layers = raw.layers.unwrap_or_default();
    Ok(Document::Manifest(Box::new(Manifest {
        config: descriptor(WHAT, config)?,
        layers: descriptors(WHAT, "layers", layers, MAX_LAYERS)?,
        artifact_type: raw.artifact_type.filter(|media| !media.is_empty()),
    })))
}

fn descriptors(
    what: &'static str,
    of: &'static str,
    raw: Vec<RawDescriptor>,
    limit: usize,
) -> Result<Vec<Descriptor>, DocumentError> {
    if raw.len() > limit {
        return Err(DocumentError::TooMany {
            what,
            of,
            count: raw.len(),
            limit,
        });
    }
    raw.into_iter().map(|raw| descriptor(what, raw)).collect()
}

fn descriptor(what: &'static str, raw: RawDescriptor) -> Result<Descriptor, DocumentError> {
    let mut annotations = raw.annotations.unwrap_or_default();
    let mut take = |name: &str| annotations.remove(name).flatten();
    Ok(Descriptor {
        digest: raw
            .digest
            .parse()
            .map_err(|source| DocumentError::Digest { what, source })?,
        size: raw.size,
        media_type: raw.media_type,
        platform: raw.platform,
        ref_name: take("org.opencontainers.image.ref.name"),
        image_name: take("io.containerd.image.name"),
        artifact_type: raw.artifact_type.filter(|media| !media.is_empty()),
        note: take("vnd.docker.reference.type")
            .or_else(|| take("kind").filter(|kind| kind.starts_with("dev.cosignproject."))),
        urls: raw.urls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_and_a_manifest_are_told_apart_by_what_they_hold() {
        let digest = Digest::of(b"");
        let blob = format!(r#"{{"digest":"{digest}","size":0,"mediaType":"x"}}"#);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{blob}]}}"#);
        assert!(matches!(parse(index.as_bytes()), Ok(Document::Index(list)) if list.len() == 1));
        let manifest = format!(r#"{{"config":{blob},"layers":[{blob},{blob}]}}"#);
        assert!(
            matches!(parse(manifest.as_bytes()), Ok(Document::Manifest(m)) if m.layers.len() == 2)
        );
    }

    #[test]
    fn a_platform_is_written_as_it_is_read() {
        for text in ["linux/amd64", "linux/arm/v7", "unknown/unknown"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for bad in ["", "linux", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn null_is_nothing_as_in_go() {
        let blob = format!(
            r#"{{"digest":"{}","size":0,"mediaType":null,"urls":null,"annotations":{{"a":null}}}}"#,
            Digest::of(b"")
        );
        let manifest = format!(r#"{{"config":{blob},"layers":null,"artifactType":""}}"#);
        assert!(
            matches!(parse(manifest.as_bytes()), Ok(Document::Manifest(m)) if m.layers.is_empty())
        );
    }

    #[test]
    fn broken_deep_and_long_documents_are_refused() {
        assert!(matches!(parse(b"{}"), Err(DocumentError::Json { .. })));
        assert!(matches!(parse(b"[1"), Err(DocumentError::Json { .. })));
        assert!(matches!(
            parse(br#"{"schemaVersion":1}"#),
            Err(DocumentError::Schema1)
        ));
        let deep = "[".repeat(100_000);
        assert!(matches!(
            parse(deep.as_bytes()),
            Err(DocumentError::Json { .. })
        ));
        let traversal = br#"{"manifests":[{"digest":"sha256:../../x","size":1}]}"#;
        assert!(matches!(
            parse(traversal),
            Err(DocumentError::Digest { .. })
        ));
        let blob = format!(r#"{{"digest":"{}","size":0}}"#, Digest::of(b""));
        let many = format!(r#"{{"manifests":[{}]}}"#, vec![blob; 1001].join(","));
        assert!(matches!(
            parse(many.as_bytes()),
            Err(DocumentError::TooMany { count: 1001, .. })
        ));
    }
}
