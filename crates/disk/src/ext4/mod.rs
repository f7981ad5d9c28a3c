//! A file tree as an ext4 image, written in one ascending pass.
//!
//! ```text
//!  Tree ─► Plan (inodes, blocks; nothing read yet) ─► emission, ascending ─► image file (and its SHA-256)
//!              superblock, descriptors, bitmaps, inode tables │ journal │ directories │ contents of files
//! ```
//!
//! ext4 has no checksums over contents, so all metadata is known before the first byte of a file is read: memory holds
//! the tree and a few buffers, never the image.
//!
//! Features: extents, flex_bg, metadata_csum with a seed of its own, hashed directories if a directory has more than
//! one block, nanosecond times, extended attributes in inode and block, POSIX ACLs, sparse files; a journal on request.
//! Left out: `64bit` (images end at 16 TiB), `resize_inode` (the kernel grows the file system without it),
//! `sparse_super2` (it prevents that), `lost+found` (it would show up in the user's `/root`; not needed by `e2fsck` or
//! the kernel).

mod acl;
mod allocation;
mod checksum;
mod contents;
mod directory;
mod emission;
mod error;
mod extents;
mod format;
mod geometry;
mod groups;
mod image_file;
mod inode;
mod inode_table;
mod name_hash;
mod options;
mod plan;
mod read;
mod read_inode;
mod read_xattr;
pub(crate) mod template;
mod volume;
mod write;
mod xattr;

pub use acl::AclError;
pub use error::WriteError;
pub use options::{BASE_UUID, EPOCH, ImageOptions, ImageSize, Progress, WrittenImage};
pub use read::{ReadError, read_tree};
pub use write::write_tree;
pub use xattr::{XattrError, storable};
