//! The output of a detached command: frames in numbered segments, of which the newest are kept.
//!
//! A segment begins and ends between two frames, so that a reader may begin at any of them, also at a later one when
//! those that it has not read were dropped meanwhile.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::BytesMut;

/// Size from which no more is added to a segment, in bytes.
const SEGMENT: u64 = 512 * 1024;
/// Segments that are kept.
const KEPT: u32 = 4;
const PREFIX: &str = "log.";
/// Bytes read at once.
const PIECE: usize = 32 * 1024;

fn segment(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{PREFIX}{number}"))
}

/// Numbers and sizes of the segments, in order.
pub(super) fn segments(folder: &Path) -> Vec<(u32, u64)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u32, u64)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
            Some((number, entry.metadata().ok()?.len()))
        })
        .collect();
    found.sort_unstable();
    found
}

/// Adds to a log.
pub(super) struct LogWriter {
    folder: PathBuf,
    number: u32,
    file: File,
    len: u64,
}

impl LogWriter {
    /// Begins a log.
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            file: make(folder, 0)?,
            folder: folder.to_path_buf(),
            number: 0,
            len: 0,
        })
    }

    /// Adds one frame.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.len >= SEGMENT {
            self.file = make(&self.folder, self.number + 1)?;
            self.number += 1;
            self.len = 0;
            if let Some(old) = self.number.checked_sub(KEPT) {
                fs::remove_file(segment(&self.folder, old))?;
            }
        }
        self.len += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

fn make(folder: &Path, number: u32) -> io::Result<File> {
    File::options()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(segment(folder, number))
}

/// Reads a log from its oldest kept frame on.
pub(super) struct LogReader {
    folder: PathBuf,
    open: Option<(u32, File)>,
}

impl LogReader {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            open: None,
        }
    }

    /// Adds what there is to `into`, at most [`PIECE`] bytes; none: there is nothing more by now.
    pub(super) fn read(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        loop {
            let newer = self.newer();
            let Some((_, file)) = &mut self.open else {
                match newer {
                    Some(first) => self.begin(first)?,
                    None => return Ok(0),
                }
                continue;
            };
            // Nothing is added to a segment once there is a newer one: its end, seen after that, is its end.
            let start = into.len();
            into.resize(start + PIECE, 0);
            let read = file.read(&mut into[start..]);
            into.truncate(start + *read.as_ref().unwrap_or(&0));
            match (read?, newer) {
                (0, Some(next)) => self.begin(next)?,
                (read, _) => return Ok(read),
            }
        }
    }

    fn newer(&self) -> Option<u32> {
        let from = self.open.as_ref().map_or(0, |(number, _)| number + 1);
        let found = segments(&self.folder);
        found.into_iter().map(|(n, _)| n).find(|n| *n >= from)
    }

    fn begin(&mut self, number: u32) -> io::Result<()> {
        match File::open(segment(&self.folder, number)) {
            Ok(file) => self.open = Some((number, file)),
            // Dropped in between: the next look finds a newer one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut LogReader) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        while reader.read(&mut bytes).unwrap() > 0 {}
        bytes.to_vec()
    }

    #[test]
    fn what_is_added_is_read_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = LogReader::new(folder.path());
        assert!(all(&mut reader).is_empty());
        let mut log = LogWriter::begin(folder.path()).unwrap();
        log.frame(b"one").unwrap();
        assert_eq!(all(&mut reader), b"one");
        log.frame(b"two").unwrap();
        assert_eq!(all(&mut reader), b"two");
    }

    #[test]
    fn a_log_is_bounded_and_begins_with_a_whole_frame() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::begin(folder.path()).unwrap();
        let frame = |number: u32| [&number.to_be_bytes()[..], &[0; 9_996]].concat();
        for number in 0..500 {
            log.frame(&frame(number)).unwrap();
        }
        let kept: u64 = segments(folder.path()).iter().map(|(_, len)| len).sum();
        assert!(kept <= (SEGMENT + 10_000) * u64::from(KEPT), "{kept}");
        let bytes = all(&mut LogReader::new(folder.path()));
        assert_eq!(bytes.len() as u64, kept);
        let first = u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let count = u32::try_from(bytes.len() / 10_000).unwrap();
        assert_eq!(first + count, 500, "the newest are kept, without a gap");
    }
}
