//! The JSON between a name and its layers: indexes and manifests, OCI's and Docker's.

use serde::Deserialize;

use crate::digest::Digest;

/// Largest index, manifest or configuration that is read, in bytes (registries allow 4 MiB).
pub const MAX_JSON: u64 = 4 << 20;
/// Most layers of an image (overlayfs and Docker end at 127).
pub const MAX_LAYERS: usize = 500;
/// Most manifests of an index.
pub const MAX_MANIFESTS: usize = 1000;

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON of the expected form.
    #[error("its {what} is broken")]
    Json {
        /// Which document.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A digest in it is none.
    #[error("its {what} names a blob that cannot be")]
    Digest {
        /// Which document.
        what: &'static str,
        /// Why.
        #[source]
        source: crate::digest::DigestError,
    },
    /// More of something than is taken.
    #[error("its {what} lists {count} {of}, at most {limit} are taken")]
    TooMany {
        /// Which document.
        what: &'static str,
        /// What there is too much of.
        of: &'static str,
        /// How many.
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
    /// What it is.
    pub media_type: String,
    /// For which platform, where that is told.
    pub platform: Option<Platform>,
    /// `org.opencontainers.image.ref.name`, where given: the tag in a layout.
    pub ref_name: Option<String>,
}

/// What a program needs to run on.
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
    /// What guests of this host run.
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

    /// Whether a guest that is `self` runs what is made for `other`.
    pub fn runs(&self, other: &Self) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }
}

/// An index or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Several images.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Manifest),
}

/// One image: where its configuration and its layers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    digest: String,
    size: u64,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// Reads an index or a manifest: which one it is shows in what it holds, media types are not always told.
///
/// # Errors
/// When it is neither, or lists more than is taken.
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
    let layers = raw.layers.ok_or_else(|| missing("layers"))?;
    Ok(Document::Manifest(Manifest {
        config: descriptor(WHAT, config)?,
        layers: descriptors(WHAT, "layers", layers, MAX_LAYERS)?,
    }))
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
    Ok(Descriptor {
        digest: raw
            .digest
            .parse()
            .map_err(|source| DocumentError::Digest { what, source })?,
        size: raw.size,
        media_type: raw.media_type,
        platform: raw.platform,
        ref_name: raw
            .annotations
            .and_then(|mut all| all.remove("org.opencontainers.image.ref.name")),
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
