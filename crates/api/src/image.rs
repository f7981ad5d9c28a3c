//! Images as users see them, and the requests that make them.

use std::collections::BTreeMap;

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{ImageName, OperationId};
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
    /// Bytes that base and work seed have allocated on the host.
    pub allocated_bytes: u64,
    /// Bytes of those that other images share: they stay when this one goes.
    pub shared_bytes: u64,
    /// Size of the work seed in bytes, when it has one.
    pub seed_bytes: Option<u64>,
    /// How many VMs are made from it.
    pub used_by: u64,
    /// Its name was given to a newer image: it is there for its VMs, and goes with the last of them.
    #[serde(default)]
    pub superseded: bool,
    /// When it was made.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    /// Why it cannot be used: its record in the store is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// More about it, when one image is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<ImageDetails>,
}

/// What only one image at a time tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageDetails {
    /// Digest of the base's file.
    pub base_digest: String,
    /// Names in the root file system; unknown for a disk image that was copied in.
    pub entries: Option<u64>,
    /// Digest of the work seed's file.
    pub seed_digest: Option<String>,
    /// VMs made from it, by name.
    pub vms: Vec<String>,
    /// What runs in it by default.
    pub run: ImageRun,
    /// The container image that it was made from.
    pub container: Option<ContainerSource>,
    /// What a user should know of how it was made: what could not be kept as it was, another platform.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What runs in an image by default, as it says itself; empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageRun {
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user[:group]`, by name or number.
    pub user: String,
    /// Working directory.
    pub working_dir: String,
    /// What is always run, before the command.
    pub entrypoint: Vec<String>,
    /// The command, or the arguments of the entry point.
    pub cmd: Vec<String>,
    /// Signal that asks its command to stop.
    pub stop_signal: Option<String>,
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContainerSource {
    /// What was asked for.
    pub reference: String,
    /// Digest of its manifest; of its configuration when it came from `docker save`.
    pub digest: String,
    /// Digest of its configuration: what container engines call its id. Unknown for what an older banger has made.
    #[serde(default)]
    pub config_digest: Option<String>,
    /// Digest of the index of platforms that led to its manifest, where one did.
    #[serde(default)]
    pub index_digest: Option<String>,
    /// What it is made for, as `linux/amd64`. Unknown for what an older banger has made.
    #[serde(default)]
    pub platform: Option<String>,
    /// When it was made, as it says.
    pub created: Option<String>,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// How it was made, oldest step first.
    pub history: Vec<MakingStep>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// One layer, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Layer {
    /// Digest of the stored bytes.
    pub digest: String,
    /// Their number.
    pub bytes: u64,
}

/// One step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MakingStep {
    /// When.
    pub created: Option<String>,
    /// The command.
    pub created_by: Option<String>,
    /// Whether it made no layer.
    pub empty_layer: bool,
}

/// Give an image another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameImage {
    /// Its new name.
    pub name: ImageName,
}

/// Make an image of a VM that does not run: its root as its own kernel sees it, with its work disk as `/root`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveVm {
    /// The image's name.
    pub image: ImageName,
    /// What new work disks of the image start from: with `auto` the VM's own `/root`.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes; what fits when absent.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
    /// Whether it takes the name from the image that has it; VMs that are made from that one keep it.
    #[serde(default)]
    pub replace: bool,
}

/// Give an image another work seed. Work disks that exist stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReseedImage {
    /// What new work disks start from.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes; what fits when absent.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
}

/// Images that a prune removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedImages {
    /// The images.
    pub images: Vec<Image>,
    /// Bytes of disk that nothing else shares.
    pub freed_bytes: u64,
    /// Operations that remove them; empty in a dry run.
    pub operations: Vec<OperationId>,
}

/// A blob of the cache that pulls fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CachedBlob {
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// Whether it is whole and verified; the rest of a pull that was cut off is not.
    pub complete: bool,
}

/// What a prune of that cache removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedCache {
    /// The blobs.
    pub blobs: Vec<CachedBlob>,
    /// Bytes of disk that they had allocated.
    pub freed_bytes: u64,
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
    /// Whether it takes the name from the image that has it; VMs that are made from that one keep it.
    #[serde(default)]
    pub replace: bool,
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
    /// Whether it takes the name from the image that has it; VMs that are made from that one keep it.
    #[serde(default)]
    pub replace: bool,
}
