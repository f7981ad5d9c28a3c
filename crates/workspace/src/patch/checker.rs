//! The reading itself: a state machine that knows which line may come next.
//!
//! ```text
//! Start ─ diff --git ─► Header ─ modes, index ─► Header ─ --- ─► Minus ─ +++ ─► Hunks ─ @@ ─► Hunk ─ lines ─► Hunks
//!   ▲                     │                                                       │
//!   │                     └─ GIT binary patch ─► Block ─ literal, delta ─► Content ─ empty ─► Block ─ … ─► Start
//!   └──────── diff --git: the file before is complete ────────────────────────────┘
//! ```

use std::collections::BTreeSet;
use std::ops::Range;

use super::behind_links::check_links;
use super::binary::Block;
use super::current::Current;
use super::error::Offences;
use super::file::{How, Patch};
use super::{PatchError, PatchLimits, header, path};
use crate::pathspec::Pathspec;
use crate::tracked::RepoPath;

/// Longest line outside of content, in bytes: a path quoted to the last byte, twice, and some words.
const MAX_HEADER_LINE: usize = 64 * 1024;
/// git's line after a last line without an end.
const NO_NEWLINE: &[u8] = b"\\ No newline at end of file";

/// Checks a patch while it arrives.
#[derive(Debug)]
pub struct Checker {
    limits: PatchLimits,
    links: BTreeSet<RepoPath>,
    selection: Pathspec,
    line: Vec<u8>,
    lines: u64,
    /// Offset of the next line, and offset of the current file, in bytes.
    at: usize,
    file_at: usize,
    state: State,
    current: Current,
    block: Block,
    /// Bytes of binary files that are made when the patch is applied, and when it is undone.
    made: [u64; 2],
    files: usize,
    kept: Vec<Range<usize>>,
    offences: Offences,
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
            selection: Pathspec::default(),
            line: Vec::new(),
            lines: 0,
            at: 0,
            file_at: 0,
            state: State::Start,
            current: Current::default(),
            block: Block::Literal(0),
            made: [0; 2],
            files: 0,
            kept: Vec::new(),
            offences: Offences::default(),
            patch: Patch::default(),
        }
    }

    /// Checks and keeps only these paths; the others must be well formed all the same.
    #[must_use]
    pub fn selecting(mut self, selection: Pathspec) -> Self {
        self.selection = selection;
        self
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
            self.at += line.len() + 1;
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
        check_links(&self.links, &self.patch.files, &mut self.offences)?;
        self.offences.finish()?;
        if !self.selection.is_everything() {
            self.patch.bytes = self.kept.iter().map(|range| range.len() as u64).sum();
            self.patch.kept = Some(self.kept);
        }
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
                        self.block_ends(left)
                    }
                    line if self.block.line(line) => Ok(()),
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
        self.file_at = self.at;
        if self.selection.selects(&path)
            && let Err(error) = path::check_path(&path)
        {
            self.offences.add(error)?;
        }
        self.files += 1;
        if self.files > self.limits.files {
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
        let Some(block) = Block::begin(line) else {
            return self.refuse("no block of a binary file begins like this");
        };
        self.block = block;
        self.state = State::Content { left };
        match &self.block {
            Block::Literal(size) => self.makes(*size, left),
            Block::Delta(_) => Ok(()),
        }
    }

    fn block_ends(&mut self, left: u8) -> Result<(), PatchError> {
        match &self.block {
            Block::Literal(_) => Ok(()),
            block => match block.makes() {
                Some(size) => self.makes(size, left),
                None => self.refuse("the size of what this delta makes cannot be told"),
            },
        }
    }

    /// Counts the bytes that git makes when the patch is applied, independent of the size of the delta.
    fn makes(&mut self, size: u64, left: u8) -> Result<(), PatchError> {
        let [forward, backward] = &mut self.made;
        let made = if left == 2 { forward } else { backward };
        *made = made.saturating_add(size);
        if *made > self.limits.bytes {
            return Err(PatchError::TooMuch {
                what: "bytes of binary files",
                limit: self.limits.bytes,
            });
        }
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
        self.state = State::Start;
        if !self.selection.selects(&current.path) {
            self.patch.left_out += 1;
            return Ok(());
        }
        if file.makes_link() {
            let untold = current.binary || current.hunks > 1 || current.context > 0;
            let judged = if untold {
                Err(PatchError::path(
                    &current.path,
                    "it is a link whose target cannot be told",
                ))
            } else if current.added > 0 || file.how == How::Added {
                path::check_link(&current.path, &current.target)
            } else {
                Ok(())
            };
            if let Err(error) = judged {
                self.offences.add(error)?;
            }
        }
        self.kept.push(self.file_at..self.at);
        self.patch.files.push(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
