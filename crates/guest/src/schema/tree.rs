//! Files of a tree in the guest, named by bytes: names that are not UTF-8 exist.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::GuestPath;
use crate::limits::{MAX_GUEST_PATH, MAX_NAME};

/// A path below a directory: names without `.`, `..`, NUL or emptiness, joined by `/`. On the wire, each `%` and each
/// byte that is not printable ASCII is written as `%XX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(Vec<u8>);

/// Reason why bytes are not a [`TreePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreePathError {
    /// It is absolute, or has a name that is empty, `.` or `..`, or contains NUL.
    #[error("path {0:?} is not a plain path below a directory")]
    NotBelow(String),
    /// It, or one of its names, is longer than Linux allows.
    #[error("path of {0} bytes, or one of its names, is too long")]
    TooLong(usize),
    /// A `%` without two hexadecimal digits.
    #[error("path {0:?} is not encoded")]
    NotEncoded(String),
}

impl TreePath {
    /// Checks a path.
    ///
    /// # Errors
    /// See [`TreePathError`].
    pub fn new(path: impl Into<Vec<u8>>) -> Result<Self, TreePathError> {
        let path = path.into();
        let names = || path.split(|byte| *byte == b'/');
        if path.len() > MAX_GUEST_PATH || names().any(|name| name.len() > MAX_NAME) {
            return Err(TreePathError::TooLong(path.len()));
        }
        let plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
        if names().all(plain) {
            Ok(Self(path))
        } else {
            let shown = String::from_utf8_lossy(&path);
            Err(TreePathError::NotBelow(shown.chars().take(80).collect()))
        }
    }

    /// The path's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path, relative.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

impl TryFrom<String> for TreePath {
    type Error = TreePathError;

    fn try_from(text: String) -> Result<Self, TreePathError> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((byte, tail)) = rest.split_first() {
            if *byte != b'%' {
                bytes.push(*byte);
                rest = tail;
                continue;
            }
            let digits = tail
                .get(..2)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                return Err(TreePathError::NotEncoded(text.chars().take(80).collect()));
            };
            bytes.push(byte);
            rest = &tail[2..];
        }
        Self::new(bytes)
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        let mut text = Self::with_capacity(path.0.len());
        for byte in path.0 {
            match byte {
                b'%' => text.push_str("%25"),
                0x20..=0x7e => text.push(char::from(byte)),
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
        text
    }
}

/// Files below a directory of the guest. At most [`crate::limits::MAX_TREE_FILES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFiles {
    /// The directory.
    pub root: GuestPath,
    /// The files. Links on the way to them are not followed.
    pub files: Vec<TreePath>,
}

/// State of a file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The file does not exist, or its parent is not a directory.
    Absent,
    /// A regular file.
    File {
        /// SHA-256 of its content, in hexadecimal digits.
        sha256: String,
        /// True if its owner may run it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive_the_wire() {
        for name in [
            &b"plain"[..],
            b"a/b c",
            b"100%",
            b"new\nline",
            b"\xff\xfe/\x01",
            "ä".as_bytes(),
        ] {
            let path = TreePath::new(name).unwrap();
            let json = serde_json::to_string(&path).unwrap();
            assert!(json.is_ascii(), "{json}");
            assert_eq!(serde_json::from_str::<TreePath>(&json).unwrap(), path);
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused_however_they_are_written() {
        for text in [
            "",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a/",
            "%2e%2e",
            "a/%2E%2E/b",
            "%00",
            "%",
            "%4",
            "%zz",
        ] {
            assert!(TreePath::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert!(TreePath::new(vec![b'a'; 256]).is_err());
        assert!(TreePath::new([b"aaa/".repeat(2000), b"b".to_vec()].concat()).is_err());
    }
}
