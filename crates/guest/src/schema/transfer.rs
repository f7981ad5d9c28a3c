//! Copying files between host and guest, with the rules of `cp -r`.

use serde::{Deserialize, Serialize};

use super::GuestPath;
use super::words::one_line;
use crate::limits::MAX_GUEST_TEXT;

/// Receive a tar stream.
///
/// The stream has one top entry (`name` or `name/…`). Its place: if `dest` is an existing directory, inside of it under
/// its own name; if `dest` does not exist, the top entry becomes `dest`; with `contents`, the contents of the top entry
/// go into `dest`, which is made if it is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutFiles {
    /// Path of the target.
    pub dest: GuestPath,
    /// True if `dest` must be a directory (it was written with a trailing `/`).
    #[serde(default)]
    pub must_be_dir: bool,
    /// True to place the contents of the top entry, not the top entry itself (`SRC/.`).
    #[serde(default)]
    pub contents: bool,
    /// True to make missing parents of `dest`, mode 0755.
    #[serde(default)]
    pub parents: bool,
    /// True to replace only files that are unchanged since the last `digest_files`; files of a `.git` are not checked.
    #[serde(default)]
    pub unchanged: bool,
    /// Owner of all new files; default: root.
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
}

/// Send a file or tree as a tar stream; its top entry is named by the last name of `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetFiles {
    /// Path of the file or tree.
    pub path: GuestPath,
    /// True to send the target of `path` itself if it is a symlink. Links inside are always sent as links.
    #[serde(default)]
    pub follow: bool,
}

/// Send the changes in a tree since it was sent: new and changed files, and the names of removed ones. Files that git
/// ignores, and repositories inside, are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetChanges {
    /// The tree's top directory.
    pub root: GuestPath,
    /// Bytes of content, at most.
    pub max_bytes: u64,
}

/// A transfer is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TransferDone {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Sockets, fifos and devices that were left out.
    #[serde(default)]
    pub skipped: u64,
}

/// A failed transfer; files made so far stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferFailure {
    /// The path concerned.
    pub path: String,
    /// The cause, a lower-case fragment.
    pub message: String,
}

impl TransferFailure {
    /// The same with texts that are safe to show.
    #[must_use]
    pub fn harmless(self) -> Self {
        Self {
            path: one_line(&self.path, MAX_GUEST_TEXT),
            message: one_line(&self.message, MAX_GUEST_TEXT),
        }
    }
}
