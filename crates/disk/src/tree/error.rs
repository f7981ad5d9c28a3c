//! Limits of a tree, and its errors.

/// Most memory of a tree, in bytes: about 1.1 million files. With the buffers of a writer it stays below 200 MiB.
/// Removed entries count as well.
pub const MAX_TREE_BYTES: usize = 168 << 20;
/// Most names of one file (`EXT4_LINK_MAX`).
pub const MAX_LINKS: u32 = 65_000;

/// Cause of a refusal by a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A name that no directory can hold.
    #[error("bad name \"{name}\": {why}")]
    BadName {
        /// The name, printable.
        name: String,
        /// The problem with it.
        why: &'static str,
    },
    /// A target that no symbolic link can have.
    #[error("bad link target \"{target}\": {why}")]
    BadTarget {
        /// The target, printable.
        target: String,
        /// The problem with it.
        why: &'static str,
    },
    /// The name is taken.
    #[error("\"{path}\" exists already")]
    Exists {
        /// Path of the entry.
        path: String,
    },
    /// A parent that is no directory.
    #[error("\"{path}\" is not a directory")]
    NotADirectory {
        /// Path of the node.
        path: String,
    },
    /// A second name for a directory would make a cycle possible.
    #[error("\"{path}\" is a directory and cannot have a second name")]
    DirectoryLink {
        /// Path of the directory.
        path: String,
    },
    /// A file with too many names.
    #[error("\"{path}\" has {MAX_LINKS} names already, ext4 takes no more")]
    TooManyLinks {
        /// Path of the file.
        path: String,
    },
    /// One of the tree's limits.
    #[error("too many {what}: at most {limit} are taken")]
    Limit {
        /// Objects of which there are too many.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Mode bits outside 07777, or nanoseconds of a second or more.
    #[error("bad {what}: {value}")]
    BadAttribute {
        /// The attribute.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// An extended attribute that ext4 cannot hold.
    #[error("bad extended attribute \"{name}\": {why}")]
    BadXattr {
        /// Its name, printable.
        name: String,
        /// The problem with it.
        why: &'static str,
    },
    /// Extents of a file that overlap, run backwards or leave the file.
    #[error("bad extent map: {why}")]
    BadExtents {
        /// The problem with it.
        why: String,
    },
}
