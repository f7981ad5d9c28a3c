//! `image.json`: what an image is.

use std::fs;
use std::path::Path;

use banger_durable::Description;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::defaults::RunDefaults;
use crate::error::ImageError;
use crate::init::InitSystem;
use crate::provenance::Provenance;

/// Version of the folder's format that this code writes. Older ones are read; newer ones are refused.
pub const FORMAT: u32 = 1;
/// The read-only root file system.
pub const BASE: &str = "base.ext4";
/// What new work disks start from.
pub const SEED: &str = "seed.ext4";
/// The description, written last: a folder without it is not an image.
pub const METADATA: &str = "image.json";

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMetadata {
    /// Version of this format.
    pub format: u32,
    /// `sha256:…` of its content: the same input gives the same.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it came from.
    pub source: ImageOrigin,
    /// Its init system.
    pub init: InitSystem,
    /// Names in the root file system; `None` when it was copied in and not looked into.
    pub entries: Option<u64>,
    /// The read-only root file system.
    pub base: DiskRecord,
    /// What new work disks start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<DiskRecord>,
    /// Whether banger has written the seed itself, from files, so that it may be read on the host.
    #[serde(default)]
    pub seed_is_ours: bool,
    /// Who says what the seed is: it is carried over when the image is made anew, unless the image itself does.
    #[serde(default)]
    pub seed_choice: SeedChoice,
    /// What runs in it by default.
    #[serde(default)]
    pub defaults: RunDefaults,
    /// The container image that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// What a user should know of how it was made: what could not be kept as it was, another platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Who says what new work disks start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedChoice {
    /// The image: its own `/root`, if anything.
    #[default]
    Image,
    /// The user has given one.
    User,
    /// The user wants none.
    Nothing,
}

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOrigin {
    /// `recipe`, `tar`, `directory`, `disk`, `container` or `vm`.
    pub kind: String,
    /// The recipe's name, the path on this host at the time, the reference, or the VM's name.
    pub name: String,
}

/// A disk image of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// Its name in the folder.
    pub file: String,
    /// Its apparent size.
    pub bytes: u64,
    /// What it took on the host's disk when it was made.
    pub allocated_bytes: u64,
    /// `sha256:…` of the whole content, or `sha256-blocks:…` of the blocks that are not all zeros, with their places.
    pub digest: String,
}

impl Description for ImageMetadata {
    const FILE: &'static str = METADATA;
    const FORMAT: u32 = FORMAT;

    fn format(&self) -> u32 {
        self.format
    }
}

impl ImageMetadata {
    /// Reads the description of an image.
    ///
    /// # Errors
    /// The folder holds no image, or one of a newer format.
    pub fn read(folder: &Path) -> Result<Self, ImageError> {
        Ok(banger_durable::read_description(folder)?)
    }

    /// Writes the description beside the files that it names, which must be complete, and syncs the folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), ImageError> {
        Ok(banger_durable::write_description(folder, self)?)
    }

    /// Whether banger has written the base itself, so that it may be read on the host.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.source.kind != "disk"
    }

    /// Whether the folder's files are there with the sizes that were recorded. Their content is not read.
    ///
    /// # Errors
    /// Names the first file that is missing or of another size.
    pub fn check_files(&self, folder: &Path) -> Result<(), ImageError> {
        for disk in [Some(&self.base), self.seed.as_ref()].into_iter().flatten() {
            let path = folder.join(&disk.file);
            let size = fs::metadata(&path)
                .map_err(|source| ImageError::io("inspect", &path, source))?
                .len();
            if size != disk.bytes {
                let why = format!("it has {size} bytes, {} were recorded", disk.bytes);
                return Err(ImageError::NotAnImageFolder { path, why });
            }
        }
        Ok(())
    }
}
