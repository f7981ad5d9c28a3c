//! The stream itself: entries in order, each directory once before its entries.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::SystemTime;

use banger_guest::TransferDone;
use banger_guest::files::archive::{ArchiveWriter, Entry, EntryKind};

use super::SendError;
use super::files::Contents;
use crate::index::SentStat;
use crate::record::Sent;
use crate::survey::Part;
use crate::tracked::RepoPath;

/// Bytes of a file that are read at once.
pub(super) const PIECE: usize = 64 * 1024;
/// Name of the stream's top entry; the receiver places its content.
const TOP: &[u8] = b"workspace";

/// The archive in the making, and the count of its content.
pub(super) struct Stream<'a> {
    pub(super) archive: ArchiveWriter<&'a mut dyn Write>,
    made: HashSet<RepoPath>,
    pub(super) done: TransferDone,
    pub(super) now: (i64, u32),
    pub(super) piece: Vec<u8>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(to: &'a mut dyn Write) -> io::Result<Self> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut stream = Self {
            archive: ArchiveWriter::new(to),
            made: HashSet::new(),
            done: TransferDone::default(),
            now: (
                i64::try_from(now.as_secs()).unwrap_or(0),
                now.subsec_nanos(),
            ),
            piece: vec![0; PIECE],
        };
        stream.directory(b"")?;
        Ok(stream)
    }

    /// Writes the files of one repository. Returns their metadata for its index.
    pub(super) fn part(
        &mut self,
        part: &Part,
        untracked: bool,
        files: &mut BTreeMap<RepoPath, Sent>,
    ) -> Result<HashMap<RepoPath, SentStat>, SendError> {
        let mut stats = HashMap::new();
        let mut from = Contents::open(part)?;
        let mut seen = BTreeSet::new();
        let untracked = part
            .untracked
            .iter()
            .filter(|_| untracked)
            .map(|path| (path, None));
        let tracked = part.tracked.iter().filter(|entry| part.goes(entry));
        for (path, entry) in tracked
            .map(|entry| (&entry.path, Some(entry)))
            .chain(untracked)
        {
            if !seen.insert(path) {
                continue;
            }
            let full = [&part.prefix[..], path].concat();
            let sent = match files.get(&full) {
                Some(unchanged) => Some(unchanged.clone()),
                None => self.file(part, &mut from, path, &full, entry)?,
            };
            let Some(sent) = sent else { continue };
            if part.is_as_indexed(path) || part.hidden.contains(path) {
                let (seconds, nanos) = sent.modified;
                let size = sent.size;
                stats.insert(
                    path.clone(),
                    SentStat {
                        seconds,
                        nanos,
                        size,
                    },
                );
            }
            files.insert(full, sent);
        }
        for link in part.gitlinks() {
            self.directory(&[&part.prefix[..], &link.path].concat())?;
        }
        Ok(stats)
    }

    /// A directory, after those around it, once.
    pub(super) fn directory(&mut self, path: &[u8]) -> io::Result<()> {
        if self.made.contains(path) {
            return Ok(());
        }
        if !path.is_empty() {
            let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            self.directory(&path[..parent])?;
        }
        let now = self.now;
        self.entry(path, EntryKind::Directory, 0o755, now)?;
        self.made.insert(path.to_vec());
        Ok(())
    }

    pub(super) fn header(
        &mut self,
        path: &[u8],
        kind: EntryKind,
        mode: u32,
        time: (i64, u32),
    ) -> io::Result<()> {
        let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.directory(&path[..parent])?;
        self.entry(path, kind, mode, time)
    }

    pub(super) fn entry(
        &mut self,
        path: &[u8],
        kind: EntryKind,
        mode: u32,
        time: (i64, u32),
    ) -> io::Result<()> {
        let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
        self.done.entries += 1;
        self.archive.header(&Entry {
            path: [TOP, slash, path].concat(),
            kind,
            mode,
            mtime: time.0,
            mtime_nanos: time.1,
        })
    }

    pub(super) fn text(&mut self, path: &[u8], bytes: &[u8]) -> Result<(), SendError> {
        let size = bytes.len() as u64;
        self.header(path, EntryKind::File { size }, 0o644, self.now)?;
        self.archive.content(bytes)?;
        self.archive.pad(size)?;
        self.done.bytes += size;
        Ok(())
    }

    pub(super) fn opened(&mut self, mut file: &File, path: &[u8]) -> Result<(), SendError> {
        let size = file.metadata()?.len();
        self.header(path, EntryKind::File { size }, 0o444, self.now)?;
        file.seek(SeekFrom::Start(0))?;
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            file.read_exact(&mut self.piece[..want])?;
            self.archive.content(&self.piece[..want])?;
            left -= want as u64;
        }
        self.archive.pad(size)?;
        self.done.bytes += size;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<TransferDone, SendError> {
        self.archive.finish()?;
        Ok(self.done)
    }
}
