//! Files of a guest, asked about by name. Names are bytes: what is not printable ASCII, and `%`, is written as `%XX`.

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

/// What a file of a guest is. The guest may lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FoundFile {
    /// There is none.
    Absent,
    /// A regular file.
    File {
        /// SHA-256 of its content, in hexadecimal digits.
        sha256: String,
        /// Its owner may run it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// SHA-256 of what it says, in hexadecimal digits.
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
    /// The key that it was kept by; none: by an older client, which knew one workspace alone.
    pub key: Option<String>,
    /// Its first line, in the client's own words.
    pub head: String,
    /// When it was kept.
    #[schema(value_type = String, format = DateTime)]
    pub kept_at: Timestamp,
}
