//! Files, read and digested as they pass.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use banger_guest::files::archive::{ArchiveWriter, EntryKind};
use rustix::fs::Stat;
use sha2::{Digest as _, Sha256};

use super::SendError;
use super::stream::{PIECE, Stream};
use crate::error::WorkspaceError;
use crate::pack::Objects;
use crate::record::Sent;
use crate::root::{Opened, Root};
use crate::survey::{Part, Source};
use crate::tracked::{EXECUTABLE, LINK, Tracked};

/// A file that was modified so short before it was read may be modified again without its times changing: its content
/// is compared the next time.
const RACY: Duration = Duration::from_secs(2);

impl Stream<'_> {
    pub(super) fn file(
        &mut self,
        part: &Part,
        from: &mut Contents,
        path: &[u8],
        full: &[u8],
        entry: Option<&Tracked>,
    ) -> Result<Option<Sent>, SendError> {
        match from {
            Contents::WorkTree(root) => match root.opened(path)? {
                Opened::File(mut file, stat) => {
                    let size = u64::try_from(stat.st_size).unwrap_or(0);
                    if part.stands_for_link(entry, size) {
                        let mut target = Vec::new();
                        (&mut file).take(size).read_to_end(&mut target)?;
                        if !target.contains(&0) {
                            return self.link(&target, full, &stat).map(Some);
                        }
                        std::io::Seek::rewind(&mut file)?;
                    }
                    let mode = part.mode_of(entry, stat.st_mode);
                    self.host_file(file, &stat, mode, full).map(Some)
                }
                Opened::Link(target, stat) => self.link(&target, full, &stat).map(Some),
                Opened::Directory | Opened::Absent => Ok(None),
                Opened::Other => {
                    self.done.skipped += 1;
                    Ok(None)
                }
            },
            Contents::Commit(objects) => match entry {
                Some(entry) => self.blob(objects, entry, full).map(Some),
                None => Ok(None),
            },
        }
    }

    fn host_file(
        &mut self,
        mut file: File,
        stat: &Stat,
        mode: u32,
        full: &[u8],
    ) -> Result<Sent, SendError> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // The guest's git is to see the mode that the record has.
        let bits = match mode {
            EXECUTABLE => stat.st_mode & 0o777 | 0o100,
            _ => stat.st_mode & 0o666,
        };
        let times = self.times(stat);
        self.header(full, EntryKind::File { size }, bits, times.0)?;
        let (mut digest, mut left) = (Sha256::new(), size);
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let read = file.read(&mut self.piece[..want])?;
            if read == 0 {
                // It shrank. The announced bytes must follow; its state differs, so the next prepare sends it again.
                self.piece.fill(0);
            }
            let got = &self.piece[..if read == 0 { want } else { read }];
            digest.update(got);
            self.archive.content(got)?;
            left -= got.len() as u64;
        }
        self.archive.pad(size)?;
        self.done.bytes += size;
        Ok(self.sent(
            mode,
            size,
            times,
            stat,
            banger_durable::hex(&digest.finalize()),
        ))
    }

    fn link(&mut self, target: &[u8], full: &[u8], stat: &Stat) -> Result<Sent, SendError> {
        let kind = EntryKind::Symlink {
            target: target.to_vec(),
        };
        let times = self.times(stat);
        self.header(full, kind, 0o777, times.0)?;
        let digest = banger_durable::hex(&Sha256::digest(target));
        Ok(self.sent(LINK, target.len() as u64, times, stat, digest))
    }

    fn blob(
        &mut self,
        objects: &mut Objects,
        entry: &Tracked,
        full: &[u8],
    ) -> Result<Sent, SendError> {
        let lost = |error: crate::error::GitError| SendError::Workspace(error.into());
        let size = objects.blob(&entry.oid).map_err(lost)?;
        let mut digest = Digesting(Sha256::new(), None);
        if entry.mode == LINK {
            let mut target = Vec::new();
            objects.content(size, &mut target).map_err(lost)?;
            digest.0.update(&target);
            self.header(full, EntryKind::Symlink { target }, 0o777, self.before())?;
        } else {
            let mode = entry.mode & 0o777;
            self.header(full, EntryKind::File { size }, mode, self.before())?;
            digest.1 = Some(&mut self.archive);
            objects.content(size, &mut digest).map_err(lost)?;
            let hashed = std::mem::take(&mut digest.0);
            self.archive.pad(size)?;
            self.done.bytes += size;
            return Ok(self.of_commit(entry.mode, size, hashed));
        }
        Ok(self.of_commit(entry.mode, size, digest.0))
    }

    /// The last second.
    fn before(&self) -> (i64, u32) {
        (self.now.0.saturating_sub(1), self.now.1)
    }

    fn of_commit(&self, mode: u32, size: u64, digest: Sha256) -> Sent {
        Sent {
            mode,
            size,
            modified: self.before(),
            changed: (0, 0),
            inode: 0,
            sha256: banger_durable::hex(&digest.finalize()),
        }
    }

    /// Modification time of a file as the guest gets it, and its status change time on the host.
    ///
    /// The guest is told of no time later than the second before now: git compares whole seconds, takes a file that is
    /// as young as its index for one that may have changed since, and would look into it.
    fn times(&self, stat: &Stat) -> ((i64, u32), (i64, u32)) {
        let nanos = |nanos| u32::try_from(nanos).unwrap_or(0);
        let modified = (stat.st_mtime, nanos(stat.st_mtime_nsec));
        let latest = (self.now.0.saturating_sub(1), 999_999_999);
        (
            modified.min(latest),
            (stat.st_ctime, nanos(stat.st_ctime_nsec)),
        )
    }

    fn sent(
        &self,
        mode: u32,
        size: u64,
        (modified, changed): ((i64, u32), (i64, u32)),
        stat: &Stat,
        sha256: String,
    ) -> Sent {
        let settled = self.now.0 - i64::try_from(RACY.as_secs()).unwrap_or(0);
        let racy = modified.0 >= settled || stat.st_mtime >= settled || changed.0 >= settled;
        Sent {
            mode,
            size,
            modified,
            changed: if racy { (0, 0) } else { changed },
            inode: stat.st_ino,
            sha256,
        }
    }
}

/// Source of a repository's files.
pub(super) enum Contents {
    WorkTree(Root),
    Commit(Objects),
}

impl Contents {
    pub(super) fn open(part: &Part) -> Result<Self, WorkspaceError> {
        match &part.source {
            Source::WorkTree => Root::open(part.repository.top()).map(Self::WorkTree),
            Source::Commit(_) => Ok(Objects::open(&part.repository.git).map(Self::Commit)?),
        }
    }
}

/// Writer that digests the bytes on their way into the archive.
struct Digesting<'a, 'b>(Sha256, Option<&'a mut ArchiveWriter<&'b mut dyn Write>>);

impl Write for Digesting<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        if let Some(archive) = &mut self.1 {
            archive.content(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
