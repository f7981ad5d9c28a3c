//! Images as users see them, and the requests that make them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::ImageName;
use crate::size::ByteSize;

/// One image: a read-only base that VMs share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Digest of its content (`sha256:…`): two images of one content share their files.
    pub digest: String,
    /// Where it came from: `recipe debian-minimal`, `tar rootfs.tar`, …
    pub source: String,
    /// The init system in it: `systemd`, `openrc` or `none` (the agent stays PID 1).
    pub init: String,
    /// Size of the base's file system in bytes.
    pub base_bytes: u64,
    /// Bytes that the base has allocated on the host.
    pub allocated_bytes: u64,
    /// Size of the work seed in bytes, when it has one.
    pub seed_bytes: Option<u64>,
    /// How many VMs are made from it.
    pub used_by: u64,
    /// When it was made.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
}

/// What new work disks of an image start from: `auto` (the image's own `/root` when anything is in it), `root` (the
/// same, in any case), `none` (they start empty), or the absolute path of an ext4 image, a tar archive or a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum WorkSeed {
    /// The image's own `/root`, when anything is in it; else there is none.
    #[default]
    Auto,
    /// The image's own `/root`.
    Root,
    /// Nothing: work disks start empty.
    None,
    /// An ext4 image, a tar archive or a directory of this host.
    Path(String),
}

impl From<String> for WorkSeed {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => Self::Auto,
            "root" => Self::Root,
            "none" => Self::None,
            _ => Self::Path(text),
        }
    }
}

impl From<WorkSeed> for String {
    fn from(seed: WorkSeed) -> Self {
        match seed {
            WorkSeed::Auto => "auto".to_owned(),
            WorkSeed::Root => "root".to_owned(),
            WorkSeed::None => "none".to_owned(),
            WorkSeed::Path(path) => path,
        }
    }
}

/// Build an image from a recipe that banger carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildImage {
    /// The recipe: `debian-bookworm` or `debian-minimal`.
    pub recipe: String,
    /// The image's name; the recipe's when absent.
    #[serde(default)]
    pub name: Option<ImageName>,
    /// What new work disks start from.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes; what fits when absent.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
}

/// Make an image from a root file system on this host. It is copied in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterImage {
    /// The image's name.
    pub name: ImageName,
    /// Absolute path of an ext4 image, a tar archive or a directory.
    pub rootfs: String,
    /// What new work disks start from.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes, when it is not an ext4 image; what fits when absent.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
}
