//! A file tree in memory: names, attributes and the *places* of contents, never the contents themselves.
//!
//! ```text
//!  Tree ── entries (parent, name) ──► nodes (kind, attributes, xattrs, link count)
//!    │                                   │ File: extents of (source, offset, length)
//!    └── sources: an archive's file, a host file, bytes ◄─┘   read when the image is written
//! ```
//!
//! Names and link targets are byte strings, as on Linux. The memory of a tree is bounded ([`MAX_TREE_BYTES`]), so a
//! hostile archive meets a limit, not the host's memory.

mod arena;
mod attributes;
mod contents;
mod error;
mod follow;
mod name;
mod removal;
mod subtree;
mod xattrs;

pub use arena::{Child, NodeId, NodeRef, Tree};
pub use attributes::{Attributes, DeviceNumber, NodeKind, Timestamp};
pub use contents::{Contents, Extent, OpenSource, Source, SourceId};
pub use error::{MAX_LINKS, MAX_TREE_BYTES, TreeError};
pub use name::{MAX_NAME_LEN, MAX_TARGET_LEN, printable};
pub(crate) use xattrs::check as check_xattr;
pub use xattrs::{ACL_NAMES, MAX_XATTR_VALUE, Xattr, XattrSet};
