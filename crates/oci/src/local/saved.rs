//! `manifest.json`: the images of an archive that `docker save` has written.

use serde::Deserialize;

use crate::artifact::Kind;
use crate::choice::Candidate;
use crate::config::null;
use crate::digest::Digest;
use crate::manifest::{DocumentError, MAX_LAYERS, MAX_MANIFESTS};

const WHAT: &str = "manifest.json";

/// One image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    /// Path of its configuration in the archive.
    pub(super) config: String,
    #[serde(default, deserialize_with = "null")]
    repo_tags: Vec<String>,
    /// Paths of its layers, lowest first.
    #[serde(default, deserialize_with = "null")]
    pub(super) layers: Vec<String>,
}

impl From<&Saved> for Candidate {
    fn from(image: &Saved) -> Self {
        // Its file is called by its digest: `HEX.json`, or `blobs/sha256/HEX`.
        let name = image.config.rsplit('/').next().unwrap_or_default();
        let digits = name.strip_suffix(".json").unwrap_or(name);
        let digest = format!("sha256:{digits}").parse::<Digest>();
        Self {
            names: image.repo_tags.clone(),
            digest: digest.ok(),
            platform: None,
            kind: Some(Kind::Image),
        }
    }
}

/// Reads the list.
///
/// # Errors
/// It is broken, or lists more than is taken.
pub(super) fn parse(list: &[u8]) -> Result<Vec<Saved>, DocumentError> {
    let saved: Vec<Saved> = serde_json::from_slice(list)
        .map_err(|source| DocumentError::Json { what: WHAT, source })?;
    let too_many = |of, count, limit| {
        Err(DocumentError::TooMany {
            what: WHAT,
            of,
            count,
            limit,
        })
    };
    if saved.len() > MAX_MANIFESTS {
        return too_many("images", saved.len(), MAX_MANIFESTS);
    }
    match saved.iter().find(|image| image.layers.len() > MAX_LAYERS) {
        Some(image) => too_many("layers", image.layers.len(), MAX_LAYERS),
        None => Ok(saved),
    }
}
