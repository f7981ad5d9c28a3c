//! The container image that an image was made from: digests and history, for people and for exports.

use std::collections::BTreeMap;

use banger_oci::{ImageConfig, ImageDigests, LocalImage};
use serde::{Deserialize, Serialize};

/// Steps of a history that are kept; the newest.
const MAX_STEPS: usize = 500;
/// Characters of a step that are kept.
const MAX_STEP_CHARS: usize = 2000;
/// Labels that are kept.
const MAX_LABELS: usize = 200;

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The reference, or a path on this host at the time, as the user gave it.
    pub reference: String,
    /// `sha256:…` of its manifest: equal digests, equal images.
    pub digest: String,
    /// `sha256:…` of its configuration: its id in container engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<String>,
    /// `sha256:…` of the index of platforms that led to its manifest, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_digest: Option<String>,
    /// Its platform, such as `linux/amd64`; unknown for images of an older banger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Time of its making, by its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Its layers, lowest first.
    #[serde(default)]
    pub layers: Vec<LayerRecord>,
    /// Steps of its making, oldest first.
    #[serde(default)]
    pub history: Vec<MakingStep>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// One layer, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// `sha256:…` of the stored, usually compressed, bytes.
    pub digest: String,
    /// Their number.
    pub bytes: u64,
}

/// One step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakingStep {
    /// Time of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// True when the step made no layer.
    #[serde(default)]
    pub empty_layer: bool,
}

impl Provenance {
    /// Provenance of an image on this machine, under the requested reference.
    #[must_use]
    pub fn of(image: &LocalImage, reference: String) -> Self {
        let layers = image.stored_layers().map(|(digest, bytes)| LayerRecord {
            digest: digest.to_string(),
            bytes,
        });
        Self::new(reference, image.digests(), layers.collect(), image.config())
    }

    /// Provenance from digests, stored layers and configuration.
    #[must_use]
    pub fn new(
        reference: String,
        digests: ImageDigests,
        layers: Vec<LayerRecord>,
        config: &ImageConfig,
    ) -> Self {
        let skipped = config.history.len().saturating_sub(MAX_STEPS);
        let steps = config.history.iter().skip(skipped).map(|step| MakingStep {
            created: step.created.as_deref().map(shortened),
            created_by: step.created_by.as_deref().map(shortened),
            empty_layer: step.empty_layer,
        });
        let labels = config.labels.iter().take(MAX_LABELS);
        Self {
            reference,
            digest: digests.manifest.to_string(),
            config_digest: Some(digests.config.to_string()),
            index_digest: digests.index.map(|index| index.to_string()),
            platform: (!config.platform.architecture.is_empty())
                .then(|| shortened(&config.platform.to_string())),
            created: config.created.as_deref().map(shortened),
            layers,
            history: steps.collect(),
            labels: labels
                .map(|(name, value)| (shortened(name), shortened(value)))
                .collect(),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_STEP_CHARS).collect()
}
