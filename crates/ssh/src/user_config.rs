//! Banger's block in the user's `~/.ssh/config`.
//!
//! ```text
//! # >>> banger >>> made this file           only banger's own work is taken away again
//! Include "/home/ann/.local/state/banger/ssh/config"
//! # <<< banger <<<
//! …the user's own lines, to the byte…
//! ```
//!
//! At the top, because an `Include` below a `Host` would belong to that host alone. Links are followed, mode and owner
//! stay, a file without any write permission is left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::SshError;
use crate::files::{make_folder, replace};

const BEGIN: &[u8] = b"# >>> banger >>>";
const END: &[u8] = b"# <<< banger <<<";
const END_TEXT: &str = "# <<< banger <<<";
const MADE_FILE: &str = "made this file";
const MADE_FOLDER: &str = "made this file and its folder";
/// Largest file that is changed, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The user's SSH configuration.
#[derive(Debug, Clone)]
pub struct UserConfig {
    folder: PathBuf,
    file: PathBuf,
}

/// The user's own bytes, and the block between the fences.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    own: Vec<u8>,
    /// The text behind the opening fence, and the lines of the block.
    block: Option<(String, Vec<u8>)>,
}

impl UserConfig {
    /// The configuration of the user whose home this is.
    pub fn of_home(home: &Path) -> Self {
        let folder = home.join(".ssh");
        Self {
            file: folder.join("config"),
            folder,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Tells whether this very line stands between banger's fences.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn has(&self, line: &str) -> Result<bool, SshError> {
        let Some((_, bytes)) = self.read()? else {
            return Ok(false);
        };
        let block = self.split(&bytes)?.block;
        Ok(block.is_some_and(|(_, lines)| lines.trim_ascii() == line.as_bytes()))
    }

    /// Puts the line between banger's fences; answers whether anything changed.
    ///
    /// # Errors
    /// The file does not want to be changed, or cannot be.
    pub fn install(&self, line: &str) -> Result<bool, SshError> {
        let found = self.read()?;
        let had_folder = self.folder.exists();
        let parts = match &found {
            Some((_, bytes)) => self.split(bytes)?,
            None => Parts::default(),
        };
        let made = match (&parts.block, &found) {
            (Some((made, lines)), _) => {
                if lines.trim_ascii() == line.as_bytes() {
                    return Ok(false);
                }
                made.as_str()
            }
            (None, Some(_)) => "",
            (None, None) if had_folder => MADE_FILE,
            (None, None) => MADE_FOLDER,
        };
        self.check_writable()?;
        let mut bytes = [BEGIN, b" ", made.as_bytes()].concat();
        bytes.truncate(bytes.trim_ascii_end().len());
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(END);
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(&parts.own);
        let target = match found {
            Some((target, _)) => target,
            None => {
                make_folder(&self.folder).map_err(SshError::io("make", &self.folder))?;
                self.file.clone()
            }
        };
        replace(&target, &bytes, 0o600).map_err(SshError::io("write", &target))?;
        Ok(true)
    }

    /// Takes banger's block away; answers whether anything changed.
    ///
    /// # Errors
    /// As [`UserConfig::install`].
    pub fn uninstall(&self) -> Result<bool, SshError> {
        let Some((target, bytes)) = self.read()? else {
            return Ok(false);
        };
        let parts = self.split(&bytes)?;
        let Some((made, _)) = parts.block else {
            return Ok(false);
        };
        self.check_writable()?;
        let made_file = made == MADE_FILE || made == MADE_FOLDER;
        if !(made_file && parts.own.is_empty()) {
            replace(&target, &parts.own, 0o600).map_err(SshError::io("write", &target))?;
            return Ok(true);
        }
        fs::remove_file(&target).map_err(SshError::io("remove", &target))?;
        if made == MADE_FOLDER {
            // The user may keep keys in the folder by now: it is removed only when empty.
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                    return Err(SshError::io("remove", &self.folder)(error));
                }
                _ => {}
            }
        }
        Ok(true)
    }

    /// Refuses a file without any write permission: its owner, root included, marks it so against changes.
    fn check_writable(&self) -> Result<(), SshError> {
        match fs::metadata(&self.file) {
            Ok(meta) if meta.permissions().readonly() => Err(SshError::ReadOnly(self.file.clone())),
            _ => Ok(()),
        }
    }

    /// The file itself, behind all links, and its bytes; `None` where there is none.
    fn read(&self) -> Result<Option<(PathBuf, Vec<u8>)>, SshError> {
        let target = match fs::canonicalize(&self.file) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match fs::symlink_metadata(&self.file) {
                    Ok(_) => Err(SshError::Dangling(self.file.clone())),
                    Err(_) => Ok(None),
                };
            }
            Err(error) => return Err(SshError::io("read", &self.file)(error)),
        };
        let meta = fs::metadata(&target).map_err(SshError::io("read", &target))?;
        if !meta.is_file() {
            return Err(SshError::NotAFile(target));
        }
        if meta.len() > MAX_BYTES {
            return Err(SshError::TooLarge {
                path: target,
                limit: MAX_BYTES,
            });
        }
        let bytes = fs::read(&target).map_err(SshError::io("read", &target))?;
        Ok(Some((target, bytes)))
    }

    fn split(&self, bytes: &[u8]) -> Result<Parts, SshError> {
        let mut parts = Parts::default();
        // Number of the line with the opening fence, and the block so far.
        let mut open: Option<(usize, String, Vec<u8>)> = None;
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let text = line.trim_ascii();
            match &mut open {
                None => match text.strip_prefix(BEGIN) {
                    Some(made) => {
                        let made = String::from_utf8_lossy(made.trim_ascii()).into_owned();
                        open = Some((number + 1, made, Vec::new()));
                    }
                    None => parts.own.extend_from_slice(line),
                },
                Some(_) if text == END => {
                    parts.block = open.take().map(|(_, made, lines)| (made, lines));
                }
                Some((_, _, lines)) => lines.extend_from_slice(line),
            }
        }
        match open {
            Some((line, _, _)) => Err(SshError::Unfenced {
                path: self.file.clone(),
                line,
                end: END_TEXT,
            }),
            None => Ok(parts),
        }
    }
}
