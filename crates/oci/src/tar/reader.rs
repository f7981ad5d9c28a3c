//! Walks an archive from header to header.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use banger_disk::tree::{Timestamp, printable};

use super::entry::{Entry, EntryKind, apply, pieces};
use super::header::{BLOCK, Header};
use super::pax::{self, Record};
use super::sparse::{MapReader, PaxSparse, gnu_entries};

/// Longest pax header or long name that is read, in bytes. A name is at most 4 KiB; attributes take the room.
const MAX_EXTENSION: u64 = 1 << 20;
/// Most bytes of all that describes one entry before its own header.
const MAX_EXTENSIONS: u64 = 4 << 20;
/// Read at once when headers are looked at, in bytes: small files lie within.
const WINDOW: usize = 1 << 16;

/// Rule for the block of zeros at an archive's end, which the format asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailer {
    /// It must: nothing else tells that it was cut short.
    Required,
    /// It need not: a digest has told already that it is whole, and some programs leave it out.
    Optional,
}

/// Failure to read an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The archive's file cannot be read.
    #[error("cannot read the archive at byte {offset}")]
    Read {
        /// Offset in the archive, in bytes.
        offset: u64,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A header, or its extension, is broken.
    #[error("\"{entry}\" (header at byte {offset}): {why}")]
    Broken {
        /// Its name as far as known, printable.
        entry: String,
        /// Offset of its header, in bytes.
        offset: u64,
        /// The fault, in words.
        why: String,
    },
    /// The archive ends in the middle of an entry, or without its trailer.
    #[error("the archive is cut short at byte {end}, {what}")]
    CutShort {
        /// Its length in bytes.
        end: u64,
        /// Least size of the archive, in bytes.
        needed: u64,
        /// The missing part, in words.
        what: String,
    },
}

/// Reads the entries of an uncompressed archive, in order.
#[derive(Debug)]
pub struct TarReader<'f> {
    file: &'f File,
    end: u64,
    /// The next header.
    at: u64,
    trailer: Trailer,
    global: Vec<Record>,
    window: Vec<u8>,
    window_at: u64,
}

/// Properties of an entry in the headers before it.
#[derive(Default)]
struct Extensions {
    records: Vec<Record>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<'f> TarReader<'f> {
    /// A reader of the archive that is the bytes `range` of `file`. Offsets in entries are those of the file.
    pub fn new(file: &'f File, range: Range<u64>, trailer: Trailer) -> Self {
        Self {
            file,
            end: range.end,
            at: range.start,
            trailer,
            global: Vec::new(),
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// Bytes of the archive that are behind it.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next entry of an archive that is being written and has `end` bytes so far.
    pub(crate) fn next_within(&mut self, end: u64) -> Result<Option<Entry>, TarError> {
        self.end = end;
        self.next_entry()
    }

    /// Reads on from `position`, where an entry began.
    pub(crate) fn go_back(&mut self, position: u64) {
        self.at = position;
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// The archive is broken or cut short, or cannot be read.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extensions = Extensions::default();
        let start = self.at;
        loop {
            let offset = self.at;
            let Some(raw) = self.header()? else {
                return Ok(None);
            };
            let header = Header::new(&raw)
                .map_err(|error| broken(&raw[..100], offset, &error.to_string()))?;
            let name = extensions
                .long_name
                .clone()
                .unwrap_or_else(|| header.path());
            let failed = |why: String| broken(&name, offset, &why);
            let size = header.size().map_err(|error| failed(error.to_string()))?;
            self.at += BLOCK as u64;
            if offset - start > MAX_EXTENSIONS {
                return Err(failed(format!(
                    "more than {MAX_EXTENSIONS} bytes of extended headers lie before it"
                )));
            }
            match header.kind() {
                b'x' | b'X' => {
                    let bytes = self.extension(size, &name)?;
                    let records = pax::records(&bytes)
                        .ok_or_else(|| failed("its pax records are broken".into()))?;
                    extensions.records.extend(records);
                }
                b'g' => {
                    let bytes = self.extension(size, &name)?;
                    self.global = pax::records(&bytes)
                        .ok_or_else(|| failed("its pax records are broken".into()))?;
                }
                b'L' => extensions.long_name = Some(c_string(self.extension(size, &name)?)),
                b'K' => extensions.long_link = Some(c_string(self.extension(size, &name)?)),
                b'V' => self.skip(size, &name)?, // the archive's label
                _ => return self.entry(&raw, header, extensions, offset).map(Some),
            }
        }
    }

    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        if self.at == self.end && self.trailer == Trailer::Optional {
            return Ok(None);
        }
        let raw = self.block("the block of zeros at its end is missing")?;
        Ok((!Header::is_zero(&raw)).then_some(raw))
    }

    fn entry(
        &mut self,
        raw: &[u8; BLOCK],
        header: Header<'_>,
        extensions: Extensions,
        offset: u64,
    ) -> Result<Entry, TarError> {
        let name = extensions
            .long_name
            .clone()
            .unwrap_or_else(|| header.path());
        let failed = |error: super::header::HeaderError| broken(&name, offset, &error.to_string());
        let mut entry = Entry {
            mode: header.mode().map_err(failed)?,
            uid: header.uid().map_err(failed)?,
            gid: header.gid().map_err(failed)?,
            mtime: Timestamp::from_seconds(header.mtime().map_err(failed)?),
            path: name.clone(),
            kind: EntryKind::Directory,
            xattrs: Vec::new(),
            acls: [None, None],
        };
        let mut link = extensions
            .long_link
            .unwrap_or_else(|| header.link().to_vec());
        let mut size = header.size().map_err(failed)?;
        let mut holes = PaxSparse::default();
        for record in self.global.iter().chain(&extensions.records) {
            let taken =
                apply(record, &mut entry, &mut link, &mut size).and_then(|()| holes.take(record));
            taken.ok_or_else(|| {
                let key = printable(&record.key);
                broken(
                    &name,
                    offset,
                    &format!("its pax record \"{key}\" is broken"),
                )
            })?;
        }
        if let Some(real) = holes.name.take() {
            entry.path = real;
        }
        let is_directory_by_name = entry.path.ends_with(b"/");
        entry.kind = match header.kind() {
            b'0' | 0 | b'7' if !is_directory_by_name => {
                self.file(size, holes, &entry.path, offset)?
            }
            b'S' => self.gnu_sparse(raw, size, &entry.path, offset)?,
            b'0' | 0 | b'7' | b'5' => EntryKind::Directory,
            b'D' => {
                self.skip(size, &entry.path)?; // names of its entries, from an incremental backup
                EntryKind::Directory
            }
            b'1' => EntryKind::HardLink(link),
            b'2' => EntryKind::Symlink(link),
            b'3' | b'4' => {
                let (major, minor) = header.device().map_err(failed)?;
                match header.kind() {
                    b'3' => EntryKind::CharDevice(major, minor),
                    _ => EntryKind::BlockDevice(major, minor),
                }
            }
            b'6' => EntryKind::Fifo,
            other => {
                let why = format!("its kind '{}' is not supported", printable(&[other]));
                return Err(broken(&entry.path, offset, &why));
            }
        };
        Ok(entry)
    }

    fn file(
        &mut self,
        size: u64,
        holes: PaxSparse,
        path: &[u8],
        offset: u64,
    ) -> Result<EntryKind, TarError> {
        let start = self.at;
        self.skip(size, path)?;
        let next = self.at;
        let Some(real_size) = holes.size else {
            let pieces = if size > 0 {
                vec![(0, start, size)]
            } else {
                Vec::new()
            };
            return Ok(EntryKind::File { size, pieces });
        };
        let (mut map, mut data) = (holes.map, start);
        if holes.map_in_data {
            self.at = start;
            let mut reader = MapReader::default();
            loop {
                let block = self.block("in a map of holes")?;
                self.at += BLOCK as u64;
                match reader.take(&block) {
                    Some(true) => break,
                    Some(false) if self.at < next => {}
                    _ => return Err(broken(path, offset, "its map of holes is broken")),
                }
            }
            (map, data) = (reader.pieces, self.at);
            self.at = next;
        }
        pieces(&map, data, start + size)
            .map(|pieces| EntryKind::File {
                size: real_size,
                pieces,
            })
            .ok_or_else(|| broken(path, offset, "its map of holes does not match its data"))
    }

    fn gnu_sparse(
        &mut self,
        raw: &[u8; BLOCK],
        size: u64,
        path: &[u8],
        offset: u64,
    ) -> Result<EntryKind, TarError> {
        let failed = || broken(path, offset, "its map of holes is broken");
        let header = Header::new(raw).map_err(|error| broken(path, offset, &error.to_string()))?;
        let (entries, mut more, real_size) = header
            .gnu_sparse()
            .map_err(|error| broken(path, offset, &error.to_string()))?;
        let mut map = Vec::new();
        gnu_entries(entries, &mut map).ok_or_else(failed)?;
        while more {
            let block = self.block("in a map of holes")?;
            self.at += BLOCK as u64;
            gnu_entries(&block[..21 * 24], &mut map).ok_or_else(failed)?;
            more = block[504] != 0;
        }
        let start = self.at;
        self.skip(size, path)?;
        let pieces = pieces(&map, start, start + size).ok_or_else(failed)?;
        Ok(EntryKind::File {
            size: real_size,
            pieces,
        })
    }

    /// Moves behind `size` bytes of data and their padding.
    fn skip(&mut self, size: u64, path: &[u8]) -> Result<(), TarError> {
        let next = size
            .checked_next_multiple_of(BLOCK as u64)
            .and_then(|padded| self.at.checked_add(padded));
        match next {
            Some(next) if next <= self.end => {
                self.at = next;
                Ok(())
            }
            _ => Err(TarError::CutShort {
                end: self.end,
                needed: next.unwrap_or(u64::MAX),
                what: format!("in the {size} bytes of \"{}\"", printable(path)),
            }),
        }
    }

    /// The data of a header that describes other headers.
    fn extension(&mut self, size: u64, path: &[u8]) -> Result<Vec<u8>, TarError> {
        let start = self.at;
        if size > MAX_EXTENSION {
            let why =
                format!("its extended header has {size} bytes, at most {MAX_EXTENSION} are read");
            return Err(broken(path, start - BLOCK as u64, &why));
        }
        self.skip(size, path)?;
        let mut bytes = vec![0; size as usize];
        self.read(&mut bytes, start)?;
        Ok(bytes)
    }

    fn block(&mut self, missing: &str) -> Result<[u8; BLOCK], TarError> {
        if self.end - self.at < BLOCK as u64 {
            return Err(TarError::CutShort {
                end: self.end,
                needed: self.at + BLOCK as u64,
                what: missing.to_owned(),
            });
        }
        let mut block = [0; BLOCK];
        self.read(&mut block, self.at)?;
        Ok(block)
    }

    /// Fills `buffer` from `offset`; the archive is known to reach that far.
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), TarError> {
        let failed = |source| TarError::Read { offset, source };
        if buffer.len() > WINDOW {
            return self.file.read_exact_at(buffer, offset).map_err(failed);
        }
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if !(held.contains(&offset) && offset + buffer.len() as u64 <= held.end) {
            let len = (self.end - offset).min(WINDOW as u64) as usize;
            self.window.resize(len, 0);
            self.window_at = offset;
            self.file
                .read_exact_at(&mut self.window, offset)
                .map_err(failed)?;
        }
        let start = (offset - self.window_at) as usize;
        buffer.copy_from_slice(&self.window[start..start + buffer.len()]);
        Ok(())
    }
}

fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn broken(name: &[u8], offset: u64, why: &str) -> TarError {
    let end = name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(name.len());
    TarError::Broken {
        entry: printable(&name[..end]),
        offset,
        why: why.to_owned(),
    }
}
