//! Images: a read-only root file system in a folder, with an optional work seed and a description.
//!
//! ```text
//!  Recipe ─► Builder::build ─► mmdebstrap ─► archive ─┐
//!  RootFs ─► register ─► archive or folder ───────────┴─► tree ─► base.ext4 ─┐
//!                    └─► ext4 image ─────────────────── sparse copy ─────────┴─► image.json (last)
//!  container image ─► from_container ──────────────── tree ─► base.ext4 ─────┤
//!            work seed: /root, archive, folder or ext4 image ─► seed.ext4 ───┘
//! ```
//!
//! Entry points: [`Recipe::find`], [`Builder`], [`register`], [`from_container`], [`reseed`], [`share_base`],
//! [`Export`], [`write_work_disk`], [`ImageMetadata::read`].
//!
//! Promises: the same input gives the same [`ImageMetadata::id`]; a folder with `image.json` is complete and durable;
//! a cancelled build ends its whole process group; of a disk image that banger did not write, the host reads only the
//! superblock; images are built only from Debian sources that the host itself has.
//!
//! It must not: know about VMs, choose names, rename folders into place, or remove a folder of the caller's.

mod build;
mod container;
mod customise;
mod defaults;
mod disks;
mod error;
mod export;
mod init;
mod input;
mod layer;
mod lookup;
mod metadata;
mod mode;
mod progress;
mod provenance;
mod recipe;
mod register;
mod reseed;
mod saved;
mod seed;
mod share;
mod sources;
mod store;
mod work_disk;

pub use build::Builder;
pub use container::{ContainerImage, from_container};
pub use defaults::RunDefaults;
pub use error::ImageError;
pub use export::Export;
pub use init::InitSystem;
pub use layer::LayerError;
pub use metadata::{
    BASE, DiskRecord, FORMAT, ImageMetadata, ImageOrigin, METADATA, OriginKind, SEED, SeedChoice,
};
pub use mode::build_mode;
pub use progress::{Progress, Stage, Watch};
pub use provenance::{LayerRecord, MakingStep, Provenance};
pub use recipe::{NewFile, NewLink, Recipe, TreeChanges};
pub use register::{RootFs, register};
pub use reseed::reseed;
pub use saved::from_saved;
pub use seed::{SeedFrom, WorkSeed};
pub use share::share_base;
pub use store::Destination;
pub use work_disk::write_work_disk;
