//! The reading itself: a state machine that knows which line may come next.
//!
//! ```text
//! Start ─ diff --git ─► Header ─ modes, index ─► Header ─ --- ─► Minus ─ +++ ─► Hunks ─ @@ ─► Hunk ─ lines ─► Hunks
//!   ▲                     │                                                       │
//!   │                     └─ GIT binary patch ─► Block ─ literal, delta ─► Content ─ empty ─► Block ─ … ─► Start
//!   └──────── diff --git: the file before is complete ────────────────────────────┘
//! ```

use std::collections::BTreeSet;

use super::behind_links::check_links;
use super::current::Current;
use super::file::{How, Patch};
use super::{PatchError, PatchLimits, binary, header, path};
use crate::tracked::RepoPath;

/// Longest line outside of content, in bytes: a path quoted to the last byte, twice, and some words.
const MAX_HEADER_LINE: usize = 64 * 1024;
/// What git writes after a last line that has no end.
const NO_NEWLINE: &[u8] = b"\\ No newline at end of file";

/// Checks a patch as it comes.
#[derive(Debug)]
pub struct Checker {
    limits: PatchLimits,
    links: BTreeSet<RepoPath>,
    line: Vec<u8>,
    lines: u64,
    state: State,
    current: Current,
    patch: Patch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Header,
    Minus,
    Hunks,
    Hunk {
        old: u64,
        new: u64,
    },
    /// Blocks of a binary file that are still to come.
    Block {
        left: u8,
    },
    Content {
        left: u8,
    },
}

impl Checker {
    /// For a repository in which these paths are links.
    pub fn new(limits: PatchLimits, links: BTreeSet<RepoPath>) -> Self {
        Self {
            limits,
            links,
            line: Vec::new(),
            lines: 0,
            state: State::Start,
            current: Current::default(),
            patch: Patch::default(),
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// The patch is refused.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), PatchError> {
        self.patch.bytes += bytes.len() as u64;
        if self.patch.bytes > self.limits.bytes {
            return Err(PatchError::TooMuch {
                what: "bytes",
                limit: self.limits.bytes,
            });
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&rest[..end]);
            self.lines += 1;
            self.one(&line)?;
            line.clear();
            self.line = line;
            rest = &rest[end + 1..];
        }
        self.line.extend_from_slice(rest);
        if !matches!(self.state, State::Hunk { .. }) && self.line.len() > MAX_HEADER_LINE {
            return self.refuse("it is too long");
        }
        Ok(())
    }

    /// The end.
    ///
    /// # Errors
    /// The patch is refused as a whole, or is not complete.
    pub fn finish(mut self) -> Result<Patch, PatchError> {
        let between = matches!(
            self.state,
            State::Start | State::Header | State::Hunks | State::Block { left: 0 }
        );
        if !self.line.is_empty() || !between {
            return Err(PatchError::Cut);
        }
        self.file_ends()?;
        check_links(&self.links, &self.patch.files)?;
        Ok(self.patch)
    }

    fn refuse<T>(&self, why: &'static str) -> Result<T, PatchError> {
        Err(PatchError::Line {
            line: self.lines,
            why,
        })
    }

    fn one(&mut self, line: &[u8]) -> Result<(), PatchError> {
        let in_content = matches!(self.state, State::Hunk { .. });
        if !in_content && line.len() > MAX_HEADER_LINE {
            return self.refuse("it is too long");
        }
        match self.state {
            State::Hunk { old, new } => return self.content(line, old, new),
            State::Content { left } => {
                return match line {
                    b"" => {
                        self.state = State::Block {
                            left: left.saturating_sub(1),
                        };
                        Ok(())
                    }
                    line if binary::is_content(line) => Ok(()),
                    _ => self.refuse("this is no content of a binary file"),
                };
            }
            State::Block { left } if left > 0 => return self.block(line, left),
            State::Minus => return self.plus(line),
            State::Hunks if line == NO_NEWLINE => return self.no_newline(),
            State::Hunks if line.starts_with(b"@@ ") => return self.hunk(line),
            State::Header if !line.starts_with(b"diff --git ") => return self.header(line),
            State::Start | State::Header | State::Hunks | State::Block { .. } => {}
        }
        self.file_ends()?;
        self.file_begins(line)
    }

    fn file_begins(&mut self, line: &[u8]) -> Result<(), PatchError> {
        let Some(path) = header::diff_git(line) else {
            return self.refuse("no file of a patch begins like this");
        };
        path::check_path(&path)?;
        if self.patch.files.len() >= self.limits.files {
            return Err(PatchError::TooMuch {
                what: "files",
                limit: self.limits.files as u64,
            });
        }
        self.current = Current {
            path,
            ..Current::default()
        };
        self.state = State::Header;
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), PatchError> {
        let line_number = self.lines;
        let current = &mut self.current;
        let modes: [(&[u8], &mut Option<u32>); 4] = [
            (b"new file mode ", &mut current.new_file),
            (b"deleted file mode ", &mut current.deleted),
            (b"old mode ", &mut current.old_mode),
            (b"new mode ", &mut current.new_mode),
        ];
        for (word, slot) in modes {
            let Some(rest) = line.strip_prefix(word) else {
                continue;
            };
            let Some(mode) = header::mode(rest) else {
                return Err(PatchError::path(
                    &current.path,
                    "it would be neither a file nor a link",
                ));
            };
            if slot.replace(mode).is_some() || current.index.is_some() {
                let why = "a mode comes twice or too late";
                return Err(PatchError::Line {
                    line: line_number,
                    why,
                });
            }
            return Ok(());
        }
        if line.starts_with(b"index ") {
            let Some(index) = header::index(line).filter(|_| current.index.is_none()) else {
                return self.refuse("this is no index line");
            };
            current.index = Some(index);
            return Ok(());
        }
        if current.index.is_none() {
            return self.refuse("content comes without an index line");
        }
        if line == b"GIT binary patch" {
            current.binary = true;
            self.state = State::Block { left: 2 };
            return Ok(());
        }
        if line.starts_with(b"--- ") {
            let expected = current.new_file.is_none().then(|| current.path.clone());
            if header::side(line, b"--- ", b"a/") != Some(expected) {
                return self.refuse("this names another file");
            }
            self.state = State::Minus;
            return Ok(());
        }
        self.refuse("no header of a patch looks like this")
    }

    fn plus(&mut self, line: &[u8]) -> Result<(), PatchError> {
        let expected = self
            .current
            .deleted
            .is_none()
            .then(|| self.current.path.clone());
        if header::side(line, b"+++ ", b"b/") != Some(expected) {
            return self.refuse("this names another file");
        }
        self.state = State::Hunks;
        Ok(())
    }

    fn hunk(&mut self, line: &[u8]) -> Result<(), PatchError> {
        let Some([(_, old), (_, new)]) = header::hunk(line) else {
            return self.refuse("no hunk begins like this");
        };
        if old == 0 && new == 0 {
            return self.refuse("this hunk is empty");
        }
        self.current.hunks += 1;
        self.current.unended = false;
        self.state = State::Hunk { old, new };
        Ok(())
    }

    fn content(&mut self, line: &[u8], old: u64, new: u64) -> Result<(), PatchError> {
        let Some((mark, text)) = line.split_first() else {
            return self.refuse("an empty line has no place in a hunk");
        };
        let current = &mut self.current;
        let (old, new) = match mark {
            b' ' if old > 0 && new > 0 => {
                current.context += 1;
                (old - 1, new - 1)
            }
            b'-' if old > 0 => {
                current.removed += 1;
                (old - 1, new)
            }
            b'+' if new > 0 => {
                current.added += 1;
                if current.is_link() {
                    current.target.extend_from_slice(text);
                    current.target.push(b'\n');
                }
                (old, new - 1)
            }
            b'\\' if line == NO_NEWLINE => return self.no_newline(),
            _ => return self.refuse("this hunk has other lines than it said"),
        };
        current.last = *mark;
        current.unended = false;
        self.state = if old == 0 && new == 0 {
            State::Hunks
        } else {
            State::Hunk { old, new }
        };
        Ok(())
    }

    fn no_newline(&mut self) -> Result<(), PatchError> {
        let current = &mut self.current;
        if current.hunks == 0 || current.unended || current.last == 0 {
            return self.refuse("this has no place here");
        }
        current.unended = true;
        if current.last == b'+' {
            current.target.pop();
        }
        Ok(())
    }

    fn block(&mut self, line: &[u8], left: u8) -> Result<(), PatchError> {
        let Some(size) = binary::block(line) else {
            return self.refuse("no block of a binary file begins like this");
        };
        // git makes this many bytes of it when it is applied.
        if size > self.limits.bytes {
            return Err(PatchError::TooMuch {
                what: "bytes in one file",
                limit: self.limits.bytes,
            });
        }
        self.state = State::Content { left };
        Ok(())
    }

    fn file_ends(&mut self) -> Result<(), PatchError> {
        if self.state == State::Start {
            return Ok(());
        }
        let current = std::mem::take(&mut self.current);
        let file = current
            .complete(self.state == State::Header)
            .map_err(|why| PatchError::path(&current.path, why))?;
        if file.makes_link() {
            if current.binary || current.hunks > 1 || current.context > 0 {
                return Err(PatchError::path(
                    &current.path,
                    "it is a link whose target cannot be told",
                ));
            }
            if current.added > 0 || file.how == How::Added {
                path::check_link(&current.path, &current.target)?;
            }
        }
        self.patch.files.push(file);
        self.state = State::Start;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
