//! Disk images as plain files: made, filled, cloned and grown without root, without a mount and without a process.
//!
//! ```text
//!  archive, layers, host folder            nothing
//!             │                               │
//!             ▼                               ▼
//!       tree::Tree  ─── ext4::write_tree   blank::Templates::create
//!   (names, attributes,        │              │   a few remembered blocks
//!    places of contents)       ▼              ▼
//!                        base or seed     empty work disk, system overlay
//!                              │
//!                              ▼
//!                        sparse::clone_file ──► a VM's own disk ──► sparse::grow
//!                     FICLONE, else by extents      (the guest's kernel grows the file system)
//! ```
//!
//! Entry points:
//!
//! | to | call |
//! |---|---|
//! | make an empty disk | [`Templates::create`] with a [`BlankDisk`] |
//! | make a base or a work seed of a tree | [`write_tree`] with [`ImageOptions::base`] or [`ImageOptions::seed`] |
//! | read back what [`write_tree`] wrote | [`read_tree`] |
//! | give a VM its copy of a seed | [`sparse::clone_file`] |
//! | make a disk larger | [`sparse::grow`], then the guest's kernel grows the file system |
//! | keep a disk as it is and write on over it | [`top::make`], [`top::grow`] |
//! | recognise a file that is not an ext4 image | [`foreign::recognise`] |
//! | read the label and size of a file system | [`superblock::read`] |
//! | measure the space that a file takes | [`sparse::allocated_bytes`] |
//! | leave room for other files | [`Room::check`] |
//!
//! Promises: the same tree and options give the same bytes on any machine; every image passes `e2fsck -fn` in silence and
//! is mounted by the kernel; holes stay holes; no existing file is ever overwritten (`O_EXCL`); a failed call removes
//! what it began.
//!
//! It must not: know about VMs, mount anything, start a process, or parse a file system that a guest has written
//! (the exceptions are the bounded 1 KiB of [`superblock`] and the few bytes of [`foreign`], for files of the user).
//!
//! Durability belongs to the caller: nothing here calls `fsync`; the file that each call returns can be synced.

pub mod blank;
pub mod ext4;
pub mod foreign;
pub mod label;
mod room;
pub mod sparse;
pub mod superblock;
pub mod top;
pub mod tree;

pub use blank::{BlankDisk, BlankError, Templates};
pub use ext4::template::TemplateError;
pub use ext4::{
    ImageOptions, ImageSize, Progress, ReadError, WriteError, WrittenImage, read_tree, write_tree,
};
pub use label::{Label, LabelError};
pub use room::{NoRoom, Room};
