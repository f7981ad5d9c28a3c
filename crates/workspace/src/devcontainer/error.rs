//! Errors of `devcontainer.json`.

use crate::error::WorkspaceError;

/// Failure to use a `devcontainer.json`.
#[derive(Debug, thiserror::Error)]
pub enum DevcontainerError {
    /// It cannot be read.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The file that was named is not there.
    #[error("the repository has no file {0}")]
    Absent(String),
    /// The file that was named is elsewhere.
    #[error("{0} is not a path below the repository's top folder")]
    Outside(String),
    /// It is a link, a folder, or something else that is not read.
    #[error("{0} is not a regular file")]
    NoFile(String),
    /// It is too large.
    #[error("{file} has more than {max} bytes")]
    TooLarge {
        /// The file.
        file: String,
        /// Bytes that are read.
        max: usize,
    },
    /// There are several to choose from.
    #[error("the repository has several: {}", .0.join(", "))]
    Several(Vec<String>),
    /// It is no UTF-8.
    #[error("it is not UTF-8 text")]
    NoText(#[source] std::str::Utf8Error),
    /// It is no JSON with comments.
    #[error("it is not JSON with comments")]
    Syntax(#[source] jsonc_parser::errors::ParseError),
    /// A property has the wrong type, or a value beyond its limits.
    #[error("\"{name}\" {why}")]
    Property {
        /// The property.
        name: String,
        /// The fault, in words.
        why: String,
    },
}

impl DevcontainerError {
    pub(super) fn property(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Property {
            name: name.into(),
            why: why.into(),
        }
    }
}
