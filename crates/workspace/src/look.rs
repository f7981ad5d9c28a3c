//! Reads single files of the workspace on the host: never through a link, never more than asked for.

use std::io::Read as _;

use crate::error::WorkspaceError;
use crate::root::{Kind, Opened, Root};
use crate::survey::{Source, Survey};
use crate::tracked::{EXECUTABLE, FILE};

/// Names in a directory that are looked at, at most.
const MAX_NAMES: usize = 1000;

/// Content of a path of the outermost repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Absent,
    /// A file with this content.
    File(Vec<u8>),
    /// A file with more bytes than asked for.
    TooLarge,
    /// Something else: a link, a directory, a socket.
    Other,
}

impl Survey {
    /// A file of the outermost repository as it would be sent: of the work tree, tracked or not, or of the commit that
    /// `--from` names.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn look(&self, path: &str, max: usize) -> Result<Look, WorkspaceError> {
        let top = self.top();
        match &top.source {
            Source::WorkTree => {
                let root = Root::open(top.repository.top())?;
                match root.opened(path.as_bytes())? {
                    Opened::Absent => Ok(Look::Absent),
                    Opened::File(file, _) => {
                        let mut bytes = Vec::new();
                        let read = file.take(max as u64 + 1).read_to_end(&mut bytes);
                        read.map_err(WorkspaceError::file(
                            "read",
                            top.repository.top().join(path),
                        ))?;
                        Ok(if bytes.len() > max {
                            Look::TooLarge
                        } else {
                            Look::File(bytes)
                        })
                    }
                    Opened::Link(..) | Opened::Directory | Opened::Other => Ok(Look::Other),
                }
            }
            Source::Commit(_) => {
                let mut entries = top.tracked.iter();
                let Some(entry) = entries.find(|entry| entry.path == path.as_bytes()) else {
                    return Ok(Look::Absent);
                };
                if !matches!(entry.mode, FILE | EXECUTABLE) {
                    return Ok(Look::Other);
                }
                let git = &top.repository.git;
                let size = git.line(&["cat-file", "-s", &entry.oid])?;
                let size = size.and_then(|size| size.parse::<usize>().ok());
                if size.is_none_or(|size| size > max) {
                    return Ok(Look::TooLarge);
                }
                let bytes = git.output(&["cat-file", "blob", &entry.oid])?;
                Ok(Look::File(bytes))
            }
        }
    }

    /// Tells whether a file of the outermost repository is sent to the guest.
    pub fn sends(&self, path: &str) -> bool {
        let top = self.top();
        let is_it = |other: &Vec<u8>| other == path.as_bytes();
        let tracked = top
            .tracked
            .iter()
            .any(|entry| is_it(&entry.path) && top.goes(entry));
        tracked || (self.wanted.include_untracked && top.untracked.iter().any(is_it))
    }

    /// Names of directories in a directory of the outermost repository, in order; those that are no plain text left out.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn folders_in(&self, path: &str) -> Result<Vec<String>, WorkspaceError> {
        let top = self.top();
        let mut names = match &top.source {
            Source::WorkTree => {
                let root = Root::open(top.repository.top())?;
                if root.kind(path.as_bytes())? != Kind::Directory {
                    return Ok(Vec::new());
                }
                let folder = top.repository.top().join(path);
                let listing =
                    std::fs::read_dir(&folder).map_err(WorkspaceError::file("list", &folder))?;
                let directories = listing.take(MAX_NAMES).filter_map(Result::ok);
                let directories =
                    directories.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                directories
                    .filter_map(|entry| entry.file_name().into_string().ok())
                    .collect::<Vec<_>>()
            }
            Source::Commit(_) => {
                let below = top.tracked.iter().filter_map(|entry| {
                    let path = std::str::from_utf8(&entry.path)
                        .ok()?
                        .strip_prefix(path)?
                        .strip_prefix('/')?;
                    path.split_once('/').map(|(name, _)| name.to_owned())
                });
                below.take(MAX_NAMES).collect()
            }
        };
        // A name is shown, and must not begin a line of its own.
        names.retain(|name| !name.contains(char::is_control));
        names.sort();
        names.dedup();
        Ok(names)
    }
}
