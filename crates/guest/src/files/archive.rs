//! A bounded subset of tar (POSIX pax, with GNU's long names for reading): files, directories, symlinks.
//!
//! The crate `tar` only reads and writes single headers here: its entry iterator collects names of any length in
//! memory, and splits pax records at line ends instead of by their lengths.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use tar::{EntryType, Header};

use super::FilesError;
use super::pax::{Extension, Records, pax_record, pax_time};
use crate::limits::MAX_TAR_EXTENSION;

const BLOCK: usize = 512;

/// Type of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; so many bytes follow.
    File {
        /// Its length in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Its target.
        target: Vec<u8>,
    },
    /// Another type, which is neither made nor sent.
    Other,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, components separated by `/`. Unchecked when it comes from a stream.
    pub path: Vec<u8>,
    /// Its type.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970 of the last modification.
    pub mtime: i64,
    /// Nanoseconds of it.
    pub mtime_nanos: u32,
}

impl Entry {
    /// Its name for messages.
    #[must_use]
    pub fn display_path(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.path))
    }
}

/// Writes entries. The caller writes exactly the content that it announced.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    to: W,
}

impl<W: Write> ArchiveWriter<W> {
    /// A writer to `to`, which should be buffered.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    /// Writes the header of an entry; content of a file follows by [`Self::content`], then [`Self::pad`].
    ///
    /// # Errors
    /// Fails when the stream fails.
    pub fn header(&mut self, entry: &Entry) -> std::io::Result<()> {
        let mut records = Vec::new();
        let (name, target): (&[u8], &[u8]) = match &entry.kind {
            EntryKind::Symlink { target } => (&entry.path, target),
            _ => (&entry.path, b""),
        };
        if name.len() > 100 {
            pax_record(&mut records, "path", name);
        }
        if target.len() > 100 {
            pax_record(&mut records, "linkpath", target);
        }
        if entry.mtime < 0 || entry.mtime_nanos != 0 {
            pax_record(
                &mut records,
                "mtime",
                pax_time(entry.mtime, entry.mtime_nanos).as_bytes(),
            );
        }
        if !records.is_empty() {
            self.to.write_all(
                raw_header(
                    b"pax",
                    b"",
                    EntryType::XHeader,
                    0o644,
                    records.len() as u64,
                    0,
                )
                .as_bytes(),
            )?;
            self.to.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let (kind, size) = match &entry.kind {
            EntryKind::File { size } => (EntryType::Regular, *size),
            EntryKind::Directory => (EntryType::Directory, 0),
            EntryKind::Symlink { .. } => (EntryType::Symlink, 0),
            EntryKind::Other => (EntryType::Fifo, 0),
        };
        let seconds = u64::try_from(entry.mtime).unwrap_or(0);
        self.to
            .write_all(raw_header(name, target, kind, entry.mode, size, seconds).as_bytes())
    }

    /// Writes content.
    ///
    /// # Errors
    /// Fails when the stream fails.
    pub fn content(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.to.write_all(bytes)
    }

    /// Ends a content of `size` bytes.
    ///
    /// # Errors
    /// Fails when the stream fails.
    pub fn pad(&mut self, size: u64) -> std::io::Result<()> {
        self.to.write_all(&[0; BLOCK][..padding(size)])
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Fails when the stream fails.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()
    }
}

fn raw_header(
    name: &[u8],
    target: &[u8],
    kind: EntryType,
    mode: u32,
    size: u64,
    mtime: u64,
) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(mtime);
    let fields = header.as_old_mut();
    let (name, target) = (
        &name[..name.len().min(100)],
        &target[..target.len().min(100)],
    );
    fields.name[..name.len()].copy_from_slice(name);
    fields.linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    header
}

fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Reads entries of an untrusted stream. Memory: one block and one extended header.
#[derive(Debug)]
pub struct ArchiveReader<R> {
    from: R,
    /// Content of the current entry that was not read yet, and the padding behind it.
    left: u64,
    padding: usize,
}

impl<R: Read> ArchiveReader<R> {
    /// A reader of `from`.
    pub fn new(from: R) -> Self {
        Self {
            from,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry, or `None` at the end mark. Skips the unread rest of the entry before.
    ///
    /// # Errors
    /// Fails when the bytes are no tar stream within the limits, or the stream fails or ends before its end mark.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, FilesError> {
        self.skip()?;
        let mut extension = Extension::default();
        // An entry has at most one extended header of each kind.
        for _ in 0..8 {
            let mut header = Header::new_old();
            read_exact(&mut self.from, header.as_mut_bytes())?;
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&header)?;
            let size = header
                .entry_size()
                .or(Err(FilesError::Archive("an entry has no size")))?;
            match header.entry_type() {
                EntryType::XHeader => self.extended(size)?.parse_pax(&mut extension)?,
                EntryType::XGlobalHeader => drop(self.extended(size)?),
                EntryType::GNULongName => extension.path = Some(self.extended(size)?.until_nul()),
                EntryType::GNULongLink => extension.target = Some(self.extended(size)?.until_nul()),
                kind => return self.entry(&header, kind, size, extension).map(Some),
            }
        }
        Err(FilesError::Archive(
            "an entry has too many extended headers",
        ))
    }

    /// Reads content of the current entry; 0 at its end.
    ///
    /// # Errors
    /// Fails when the stream fails or ends before the content does.
    pub fn read_content(&mut self, to: &mut [u8]) -> Result<usize, FilesError> {
        let want = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(to.len());
        if want == 0 {
            return Ok(0);
        }
        let read = self
            .from
            .read(&mut to[..want])
            .map_err(FilesError::Stream)?;
        if read == 0 {
            return Err(FilesError::Archive("ends in the middle of a file"));
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// Reads to the end of the stream, behind the end mark: senders expect that.
    ///
    /// # Errors
    /// Fails when the stream fails, or goes on for more than the blocking factors of known programs explain.
    pub fn drain(mut self) -> Result<(), FilesError> {
        let mut block = [0; 8192];
        for _ in 0..256 {
            if self.from.read(&mut block).map_err(FilesError::Stream)? == 0 {
                return Ok(());
            }
        }
        Err(FilesError::Archive("goes on behind its end"))
    }

    fn skip(&mut self) -> Result<(), FilesError> {
        let mut block = [0; 8192];
        while self.read_content(&mut block)? > 0 {}
        let padding = std::mem::take(&mut self.padding);
        read_exact(&mut self.from, &mut block[..padding])
    }

    fn extended(&mut self, size: u64) -> Result<Records, FilesError> {
        if size > MAX_TAR_EXTENSION {
            return Err(FilesError::Archive("an extended header is too long"));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        read_exact(&mut self.from, &mut bytes)?;
        read_exact(&mut self.from, &mut [0; BLOCK][..padding(size)])?;
        Ok(Records(bytes))
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extension: Extension,
    ) -> Result<Entry, FilesError> {
        let path = extension
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let target = || {
            header
                .link_name_bytes()
                .map(std::borrow::Cow::into_owned)
                .unwrap_or_default()
        };
        let has_content = matches!(kind, EntryType::Regular | EntryType::Continuous);
        let size = if has_content {
            extension.size.unwrap_or(size)
        } else {
            size
        };
        // For every type, a size means content behind the header; entries without content must not have one.
        self.left = size;
        self.padding = padding(size);
        let kind = match kind {
            // An old way to write a directory.
            EntryType::Regular if path.ends_with(b"/") => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous => EntryKind::File { size },
            EntryType::Directory => EntryKind::Directory,
            EntryType::Symlink => EntryKind::Symlink {
                target: extension.target.unwrap_or_else(target),
            },
            _ => EntryKind::Other,
        };
        let seconds = header
            .mtime()
            .ok()
            .and_then(|seconds| i64::try_from(seconds).ok())
            .unwrap_or(0);
        let (mtime, mtime_nanos) = extension
            .mtime
            .unwrap_or((seconds.min(super::pax::MAX_SECONDS), 0));
        let mode = header.mode().unwrap_or(0o600) & 0o7777;
        Ok(Entry {
            path,
            kind,
            mode,
            mtime,
            mtime_nanos,
        })
    }
}

fn check_sum(header: &Header) -> Result<(), FilesError> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes[..148]
        .iter()
        .chain(&bytes[156..])
        .map(|byte| u32::from(*byte))
        .sum::<u32>()
        + 8 * 32;
    match header.cksum() {
        Ok(said) if said == sum => Ok(()),
        _ => Err(FilesError::Archive("a header's checksum is wrong")),
    }
}

fn read_exact(from: &mut impl Read, to: &mut [u8]) -> Result<(), FilesError> {
    from.read_exact(to).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            FilesError::Archive("ends before its end mark")
        } else {
            FilesError::Stream(error)
        }
    })
}

#[cfg(test)]
mod tests;
