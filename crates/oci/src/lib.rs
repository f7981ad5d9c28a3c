//! File trees from archives, folders and container images. Disk images are written from them.
//!
//! ```text
//!  archive.tar[.gz|.xz|.zst] ─► compression ─► tar ─► assembly ─► tree::Tree ─► banger_disk::write_tree
//!  folder of the host ────────► host_dir ──────────────────────┤
//!  image layout, docker save ─► local ─► unpacking (digests) ─► layers (whiteouts)
//! ```
//!
//! Functions for other crates:
//!
//! | to | call |
//! |---|---|
//! | make a tree of an archive | [`tree_from_archive`] |
//! | make a tree of a folder | [`tree_from_dir`] |
//! | open an image layout, its archive, or a `docker save` | [`LocalImage::open`], then [`LocalImage::tree`] |
//! | merge verified layers | [`layers::merge`] |
//! | understand the name of an image | [`Reference`] |
//! | take one directory of a tree, such as `/root` | [`directory`] |
//!
//! Promises: nothing is unpacked on the host, no name of an archive ever becomes a path of the host; owners, modes,
//! times, extended attributes, hard links, holes and names that are no text arrive unchanged; memory is bounded
//! for every input; an error names the entry.
//!
//! It must not: know the names of registered images, write disk images itself, or change the host outside of its
//! scratch folder, in which it leaves nothing (its only file has no name).

mod accounts;
pub mod archive;
pub mod artifact;
mod assembly;
mod attributes;
mod blobs;
pub mod choice;
pub mod compression;
pub mod config;
pub mod digest;
mod hiding;
pub mod host_dir;
mod keeping;
pub mod layers;
pub mod local;
mod losses;
pub mod manifest;
mod names;
mod posix_acl;
pub mod reference;
pub mod selection;
pub mod tar;
pub mod unpacking;
mod window;

pub use archive::{ArchiveError, Limits, tree_from_archive};
pub use assembly::{EntryError, Files};
pub use blobs::BlobError;
pub use compression::Compression;
pub use config::ImageConfig;
pub use digest::Digest;
pub use host_dir::{HostDirError, tree_from_dir};
pub use local::{ImageDigests, LocalImage, LocalImageError};
pub use losses::{Loss, Losses};
pub use manifest::Platform;
pub use reference::{Reference, ReferenceError};
pub use selection::{SelectionError, directory};
