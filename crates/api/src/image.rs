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
    /// Digest of its content (`sha256:…`): images with equal content share their files.
    pub digest: String,
    /// Its origin: `recipe debian-minimal`, `tar rootfs.tar`, …
    pub source: String,
    /// The init system in it: `systemd`, `openrc` or `none` (the agent stays PID 1).
    pub init: String,
    /// Size of the base's file system in bytes.
    pub base_bytes: u64,
    /// Bytes that are allocated on the host for base and work seed.
    pub allocated_bytes: u64,
    /// Bytes of those that other images share: they stay when this image is removed.
    pub shared_bytes: u64,
    /// Size of the work seed in bytes, if it has one.
    pub seed_bytes: Option<u64>,
    /// Number of VMs made from it.
    pub used_by: u64,
    /// True when a newer image has taken its name: it is kept for its VMs, and removed with the last of them.
    #[serde(default)]
    pub superseded: bool,
    /// Time of its creation.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    /// Reason why it cannot be used: its record in the store is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// More fields, in the answer to a request for one image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<ImageDetails>,
}

/// Fields of an image that only a request for one image gives.
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
    /// Default command, environment and user.
    pub run: ImageRun,
    /// The container image that it was made from.
    pub container: Option<ContainerSource>,
    /// Warnings from its creation: for example, losses of the conversion, or another platform.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Default command, environment and user of an image, from its own configuration; empty if it sets none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageRun {
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user[:group]`, by name or number.
    pub user: String,
    /// Working directory.
    pub working_dir: String,
    /// Program and arguments that always run, before the command.
    pub entrypoint: Vec<String>,
    /// The command, or the arguments of the entry point.
    pub cmd: Vec<String>,
    /// Signal that asks its command to stop.
    pub stop_signal: Option<String>,
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContainerSource {
    /// The reference or path of the pull.
    pub reference: String,
    /// Digest of its manifest; of its configuration when it came from `docker save`.
    pub digest: String,
    /// Digest of its configuration: its id in container engines. Unknown for images of an older banger.
    #[serde(default)]
    pub config_digest: Option<String>,
    /// Digest of the index of platforms that led to its manifest, if there was one.
    #[serde(default)]
    pub index_digest: Option<String>,
    /// Its platform, such as `linux/amd64`. Unknown for images of an older banger.
    #[serde(default)]
    pub platform: Option<String>,
    /// Time of its creation, by its configuration.
    pub created: Option<String>,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// Steps of its creation, oldest first.
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

/// One step of an image's creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MakingStep {
    /// Time of the step.
    pub created: Option<String>,
    /// The command.
    pub created_by: Option<String>,
    /// True when the step made no layer.
    pub empty_layer: bool,
}

/// Give an image another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameImage {
    /// Its new name.
    pub name: ImageName,
}

/// Make an image of a VM that is not running: its root as its own kernel sees it, with its work disk as `/root`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveVm {
    /// The image's name.
    pub image: ImageName,
    /// Initial content of the image's new work disks: with `auto` the VM's own `/root`.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes; absent: the size that fits.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
    /// True to take the name from the image that has it; VMs made from that image keep using it.
    #[serde(default)]
    pub replace: bool,
}

/// Give an image another work seed. Work disks that exist stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReseedImage {
    /// Initial content of new work disks.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes; absent: the size that fits.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
}

/// Images that a prune removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedImages {
    /// The images.
    pub images: Vec<Image>,
    /// Bytes of disk that no other image shares.
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
    /// True when it is complete and verified; the rest of an interrupted pull is not.
    pub complete: bool,
}

/// Blobs that a prune of the cache removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedCache {
    /// The blobs.
    pub blobs: Vec<CachedBlob>,
    /// Bytes of disk that they had allocated.
    pub freed_bytes: u64,
}

/// Initial content of an image's new work disks: `auto` (the image's own `/root` if that has any files), `root` (the
/// same, even if it is empty), `none` (they start empty), or the absolute path of an ext4 image, a tar archive or a
/// directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum WorkSeed {
    /// The image's own `/root`, if that has any files; else there is no seed.
    #[default]
    Auto,
    /// The image's own `/root`.
    Root,
    /// No seed: work disks start empty.
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

/// Build an image from a recipe of banger's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildImage {
    /// The recipe: `debian-bookworm`, `debian-minimal` or `debian-docker`.
    pub recipe: String,
    /// The image's name; the recipe's when absent.
    #[serde(default)]
    pub name: Option<ImageName>,
    /// Initial content of new work disks.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes; absent: the size that fits.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
    /// True to take the name from the image that has it; VMs made from that image keep using it.
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
    /// Initial content of new work disks.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub work_seed: WorkSeed,
    /// Size of the work seed's file system in bytes, unless it is an ext4 image; absent: the size that fits.
    #[serde(default)]
    pub seed_size: Option<ByteSize>,
    /// True to take the name from the image that has it; VMs made from that image keep using it.
    #[serde(default)]
    pub replace: bool,
}
