//! `image.json`: the description of an image.

use std::fmt;
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
/// The work seed: the initial content of new work disks.
pub const SEED: &str = "seed.ext4";
/// The description, written last: a folder without it is not an image.
pub const METADATA: &str = "image.json";

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMetadata {
    /// Version of this format.
    pub format: u32,
    /// `sha256:…` of its content: the same input gives the same id.
    pub id: String,
    /// Time of its making.
    pub created_at: Timestamp,
    /// Its origin.
    pub source: ImageOrigin,
    /// Its init system.
    pub init: InitSystem,
    /// True when it can load profiles of AppArmor; `None` when it was not looked into. Container engines refuse to start
    /// anything where the kernel has AppArmor and the image no program to load their profile with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor_parser: Option<bool>,
    /// Number of names in the root file system; `None` when it was copied in without being read.
    pub entries: Option<u64>,
    /// The read-only root file system.
    pub base: DiskRecord,
    /// The initial content of new work disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<DiskRecord>,
    /// True when banger has written the seed itself, from files, so that the host may read it.
    #[serde(default)]
    pub seed_is_ours: bool,
    /// Origin of the decision on the seed: a user's decision is kept when the image is made anew.
    #[serde(default)]
    pub seed_choice: SeedChoice,
    /// Default command, environment and user.
    #[serde(default)]
    pub defaults: RunDefaults,
    /// The container image that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Warnings for the user from its making: for example, losses of the conversion, or another platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Origin of the decision on the initial content of new work disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedChoice {
    /// The image: its own `/root`, if that has any files.
    #[default]
    Image,
    /// The user has given one.
    User,
    /// The user wants none.
    Nothing,
}

/// Kind of what an image was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginKind {
    /// A recipe.
    Recipe,
    /// A tar archive.
    Tar,
    /// A folder.
    Directory,
    /// A disk image that was copied in as it was.
    Disk,
    /// A container image.
    Container,
    /// A VM that was saved.
    Vm,
    /// A kind that only another build knows.
    #[serde(other)]
    Unknown,
}

impl OriginKind {
    /// The kind's name, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Tar => "tar",
            Self::Directory => "directory",
            Self::Disk => "disk",
            Self::Container => "container",
            Self::Vm => "vm",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for OriginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Origin of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOrigin {
    /// Its kind.
    pub kind: OriginKind,
    /// The recipe's name, the path on this host at the time, the reference, or the VM's name.
    pub name: String,
}

/// A disk image of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// Its name in the folder.
    pub file: String,
    /// Apparent size in bytes.
    pub bytes: u64,
    /// Space that it took on the host's disk when it was made, in bytes.
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

    /// Tells whether banger has written the base itself, so that the host may read it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self.source.kind {
            OriginKind::Disk | OriginKind::Unknown => false,
            OriginKind::Recipe
            | OriginKind::Tar
            | OriginKind::Directory
            | OriginKind::Container
            | OriginKind::Vm => true,
        }
    }

    /// Checks that the folder's files exist with the recorded sizes. Their content is not read.
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
