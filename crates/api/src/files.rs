//! Files of a guest, requested by name. Names are bytes: `%`, and each byte that is not printable ASCII, is written as
//! `%XX`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// Files below a directory of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TreeFiles {
    /// The directory, absolute.
    pub root: String,
    /// Paths below it, at most 2000, and 256 KiB together. Links on the way to them are not followed.
    pub files: Vec<String>,
}

/// State of a file of a guest. The guest may lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FoundFile {
    /// The file does not exist.
    Absent,
    /// A regular file.
    File {
        /// SHA-256 of its content, in hexadecimal digits.
        sha256: String,
        /// True when its owner may run it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// SHA-256 of its target, in hexadecimal digits.
        sha256: String,
    },
    /// A directory.
    Directory,
    /// Something else.
    Other,
}

/// The record of a workspace that a client keeps with a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptWorkspace {
    /// The key of the workspace; absent for one from an older client, which kept only one.
    pub key: Option<String>,
    /// Its first line, as the client wrote it.
    pub head: String,
    /// Time when it was kept.
    #[schema(value_type = String, format = DateTime)]
    pub kept_at: Timestamp,
}
