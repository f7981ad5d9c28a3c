//! Copying files between host and guest, with the rules of `cp -r`.

use serde::{Deserialize, Serialize};

use super::GuestPath;
use super::words::one_line;
use crate::limits::MAX_GUEST_TEXT;

/// Receive a tar stream.
///
/// The stream has one top entry (`name` or `name/…`). Where it lands: `dest` is an existing directory → inside it,
/// under its own name; `dest` does not exist → the top entry becomes `dest`; with `contents`, what is *inside* the
/// top entry goes into `dest`, which is made when missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutFiles {
    /// Where to.
    pub dest: GuestPath,
    /// `dest` must be a directory (it was written with a trailing `/`).
    #[serde(default)]
    pub must_be_dir: bool,
    /// Place what is inside the top entry, not the top entry itself (`SRC/.`).
    #[serde(default)]
    pub contents: bool,
    /// Make missing parents of `dest`, mode 0755.
    #[serde(default)]
    pub parents: bool,
    /// Replace only files that are as they were when `digest_files` looked at them last; those of a `.git` aside.
    #[serde(default)]
    pub unchanged: bool,
    /// Owner of everything that is made; default: root.
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
}

/// Send a file or tree as a tar stream; its top entry is named by the last name of `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetFiles {
    /// What.
    pub path: GuestPath,
    /// If `path` itself is a symlink, send what it points to. Links inside are always sent as links.
    #[serde(default)]
    pub follow: bool,
}

/// Send what changed in a tree since it was sent: files that are new or other, and the names of those that are gone.
/// What git ignores, and repositories inside, are left out.
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

/// A transfer failed; what was made so far stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferFailure {
    /// The path concerned.
    pub path: String,
    /// The cause, a lower-case fragment.
    pub message: String,
}

impl TransferFailure {
    /// The same with words that are safe to show.
    #[must_use]
    pub fn harmless(self) -> Self {
        Self {
            path: one_line(&self.path, MAX_GUEST_TEXT),
            message: one_line(&self.message, MAX_GUEST_TEXT),
        }
    }
}
