//! Keeps the unpacked bytes of a compressed archive while its entries stay within the limits.
//!
//! ```text
//!  bytes ─► file without a name ─► headers, as far as they are written ─► entries counted ─► too many: refused
//!              │                                                     └──► the archive's end: bytes behind it are not kept
//!              └─► is there still room for others?
//! ```
//! Headers are read by the reader that reads the archive afterwards, so both find the same entries, and the same
//! end or break of the archive. The later one reports a broken header, after the digests. No tree is made here.

use std::fs::File;
use std::io;

use banger_disk::sparse::write_but_zeros;
use banger_disk::{Room, tree::printable};

use crate::compression::UnpackError;
use crate::tar::{TarError, TarReader, Trailer};

/// An archive that is being unpacked.
#[derive(Debug)]
pub(crate) struct Keeping<'f> {
    file: &'f File,
    room: Room,
    /// Bytes that are in the file, holes included.
    kept: u64,
    /// Bytes that the file takes.
    written: u64,
    /// `None` behind the end of the archive.
    reader: Option<TarReader<'f>>,
    /// Number of kept bytes at which the reader can go on.
    wanted: u64,
}

impl<'f> Keeping<'f> {
    /// Keeps in `file`, which is empty.
    pub(crate) fn new(file: &'f File) -> Self {
        Self {
            file,
            room: Room::default(),
            kept: 0,
            written: 0,
            reader: Some(TarReader::new(file, 0..0, Trailer::Required)),
            wanted: 1,
        }
    }

    /// Number of bytes in the file: all of the archive that a reader needs.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.kept + bytes.len() as u64;
        self.written += write_but_zeros(self.file, bytes, self.kept)?;
        // A hole at the end is not there yet.
        self.file.set_len(end)?;
        self.kept = end;
        self.room.check(self.file, self.written)
    }

    /// Takes the next bytes of the archive. `count` counts an entry; its `Err` is the exceeded limit.
    ///
    /// # Errors
    /// They cannot be written, there is no room for them, or there are too many entries.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        count: &mut dyn FnMut() -> Result<(), u64>,
    ) -> Result<(), UnpackError> {
        if self.reader.is_none() {
            return Ok(());
        }
        self.write(bytes).map_err(UnpackError::Write)?;
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        while self.wanted <= self.kept {
            let before = reader.position();
            match reader.next_within(self.kept) {
                Ok(Some(entry)) => count().map_err(|limit| UnpackError::TooManyEntries {
                    entry: printable(&entry.path),
                    limit,
                })?,
                Err(TarError::CutShort { needed, .. }) => {
                    reader.go_back(before);
                    self.wanted = needed;
                }
                // The later reader reports a broken header.
                Ok(None) | Err(_) => {
                    self.reader = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use banger_tar::{Entry, Kind, Writer};

    use super::*;

    /// An archive of one file of 2,000 bytes and of one with a name of 300.
    fn archive() -> Vec<u8> {
        let long = [b'n'; 300];
        let mut tar = Writer::new(Vec::new());
        for (path, size) in [(&b"file"[..], 2000), (&long[..], 0)] {
            tar.header(&Entry {
                path,
                kind: Kind::File { size },
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: (0, 0),
                xattrs: &[],
            })
            .unwrap();
            tar.content(&vec![b'x'; size as usize]).unwrap();
            tar.end_content().unwrap();
        }
        tar.finish().unwrap()
    }

    /// Number of entries counted in `bytes` that come `step` by `step`, and number of bytes kept.
    fn kept(bytes: &[u8], step: usize) -> (u64, u64) {
        let file = tempfile::tempfile().unwrap();
        let mut keeping = Keeping::new(&file);
        let mut entries = 0;
        for piece in bytes.chunks(step) {
            let mut count = || {
                entries += 1;
                Ok(())
            };
            keeping.take(piece, &mut count).unwrap();
        }
        assert_eq!(file.metadata().unwrap().len(), keeping.kept());
        (entries, keeping.kept())
    }

    #[test]
    fn entries_are_counted_however_the_bytes_come() {
        let archive = archive();
        for step in [1, 7, 511, 512, 513, 4096, archive.len()] {
            assert_eq!(kept(&archive, step).0, 2, "{step}");
        }
    }

    #[test]
    fn what_follows_the_end_or_a_broken_header_is_not_kept() {
        let whole = archive();
        let end = whole.len() as u64;
        let mut more = whole.clone();
        more.resize(1 << 20, 0);
        let (entries, len) = kept(&more, 1024);
        assert_eq!(entries, 2);
        assert!(len < end + 1024, "{len}");

        let mut broken = whole;
        broken.truncate(512 + 2048);
        let at = broken.len() as u64;
        broken.resize(1 << 20, b'?');
        let (entries, len) = kept(&broken, 1024);
        assert_eq!(entries, 1);
        // Its header is kept: the later reader reports it.
        assert!((at + 512..at + 2048).contains(&len), "{len}");
    }

    #[test]
    fn the_first_entry_that_is_too_many_is_named() {
        let (file, mut left) = (tempfile::tempfile().unwrap(), 1);
        let mut keeping = Keeping::new(&file);
        let refused = keeping.take(&archive(), &mut || {
            left -= 1;
            if left < 0 { Err(1) } else { Ok(()) }
        });
        let error = refused.unwrap_err().to_string();
        assert!(
            error.starts_with("it has more than 1 entries: the next one is \"nnn"),
            "{error}"
        );
    }
}
