//! Logs as text, once or followed.
//!
//! ```text
//! file from the wanted line ──► chunks ──► end, or: inotify says it grew ──► more chunks
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::Stream;
use rustix::fs::{FlockOperation, inotify};
use tokio::io::unix::AsyncFd;

use crate::readiness::readable;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Bytes at the end of a log in which the last lines are searched.
const TAIL_MAX: u64 = 8 << 20;
/// Most bytes by which a reader finds its place again.
const LANDMARK: usize = 256;

/// Reads a log: all of it, or its last `tail` lines, and with `follow` whatever is added until the file is removed.
/// `None`: there is no such log.
///
/// # Errors
/// The log cannot be read or watched; within the stream, too.
pub fn read(
    log: &Path,
    tail: Option<u64>,
    follow: bool,
) -> io::Result<Option<impl Stream<Item = io::Result<Bytes>> + use<>>> {
    let Some(file) = open(log, tail)? else {
        return Ok(None);
    };
    let grown = follow.then(|| Grown::watch(log)).transpose()?;
    Ok(Some(chunks(Reader::of(file), grown)))
}

/// The log at the first wanted byte; `None`: there is none.
fn open(path: &Path, tail: Option<u64>) -> io::Result<Option<File>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // The start of a long log was given back to the disk and reads as a hole.
    let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).unwrap_or(0);
    let start = match tail {
        Some(lines) => tail_start(&mut file, data, lines)?,
        None => data,
    };
    file.seek(SeekFrom::Start(start))?;
    Ok(Some(file))
}

fn tail_start(file: &mut File, from: u64, lines: u64) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    let start = end.saturating_sub(TAIL_MAX).max(from);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes)?;
    // A last line that is not ended yet counts as one.
    let ended = bytes.last() == Some(&b'\n');
    let wanted = usize::try_from(lines)
        .unwrap_or(usize::MAX)
        .saturating_add(usize::from(ended));
    let breaks = bytes
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n');
    let at = match wanted.checked_sub(1) {
        None => return Ok(end),
        Some(skip) => breaks.map(|(at, _)| at + 1).nth(skip).unwrap_or(0),
    };
    Ok(start + at as u64)
}

fn chunks(reader: Reader, grown: Option<Grown>) -> impl Stream<Item = io::Result<Bytes>> {
    futures::stream::try_unfold((reader, grown), |(mut reader, grown)| async move {
        loop {
            if let Some(chunk) = reader.chunk()? {
                return Ok(Some((chunk, (reader, grown))));
            }
            match &grown {
                Some(grown) if grown.changed().await? => reader.find_its_place()?,
                _ => return Ok(None),
            }
        }
    })
}

/// A log and the place in it up to which it was read.
struct Reader {
    file: File,
    /// The last bytes before that place, by which it is found again when the log was cut (`banger_engine::shorten_log`).
    landmark: Vec<u8>,
}

impl Reader {
    fn of(file: File) -> Self {
        let landmark = Vec::with_capacity(LANDMARK);
        Self { file, landmark }
    }

    /// The next bytes; `None`: there are no more now.
    fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut chunk = vec![0; CHUNK];
        let n = self.file.read(&mut chunk)?;
        if n == 0 {
            return Ok(None);
        }
        chunk.truncate(n);
        self.landmark
            .extend_from_slice(&chunk[n.saturating_sub(LANDMARK)..]);
        let old = self.landmark.len().saturating_sub(LANDMARK);
        self.landmark.drain(..old);
        Ok(Some(Bytes::from(chunk)))
    }

    /// Goes on behind what was read last, wherever a cut has moved it; at the start when nothing is left of it.
    fn find_its_place(&mut self) -> io::Result<()> {
        if self.is_at_its_place()? {
            return Ok(());
        }
        // Whoever cuts holds the lock until the log has all that is kept.
        rustix::fs::flock(&self.file, FlockOperation::LockShared)?;
        let found = self.landmark_end();
        rustix::fs::flock(&self.file, FlockOperation::Unlock)?;
        self.file.seek(SeekFrom::Start(found?))?;
        Ok(())
    }

    fn is_at_its_place(&mut self) -> io::Result<bool> {
        let mut before = vec![0; self.landmark.len()];
        let at = self.file.stream_position()?;
        let Some(start) = at.checked_sub(before.len() as u64) else {
            return Ok(false);
        };
        match self.file.read_exact_at(&mut before, start) {
            Ok(()) => Ok(before == self.landmark && at <= self.file.metadata()?.len()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The place behind the last bytes that are the landmark's.
    fn landmark_end(&mut self) -> io::Result<u64> {
        let length = self.file.metadata()?.len();
        let start = length.saturating_sub(TAIL_MAX);
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(start))?;
        (&self.file).take(length - start).read_to_end(&mut bytes)?;
        let found = memchr::memmem::rfind(&bytes, &self.landmark);
        Ok(found.map_or(0, |at| start + (at + self.landmark.len()) as u64))
    }
}

/// Tells when a file was written to or removed (inotify(7)).
struct Grown {
    events: AsyncFd<rustix::fd::OwnedFd>,
    path: PathBuf,
}

impl Grown {
    fn watch(path: &Path) -> io::Result<Self> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let what = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::ATTRIB
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&fd, path, what)?;
        Ok(Self {
            events: readable(fd)?,
            path: path.to_owned(),
        })
    }

    /// Waits for a change. `false`: the file is gone.
    async fn changed(&self) -> io::Result<bool> {
        let mut ready = self.events.readable().await?;
        let mut buffer = [0; 4096];
        while rustix::io::read(self.events.get_ref(), &mut buffer).is_ok_and(|n| n > 0) {}
        ready.clear_ready();
        Ok(self.path.exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &str, lines: u64) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, text).unwrap();
        let mut rest = String::new();
        open(&path, Some(lines))
            .unwrap()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        rest
    }

    fn all(reader: &mut Reader) -> String {
        let mut text = Vec::new();
        while let Some(chunk) = reader.chunk().unwrap() {
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_log_that_is_cut_while_it_is_followed_gives_each_line_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let line = |n: u32| format!("line {n:03}\n");
        let first: String = (0..100).map(line).collect();
        std::fs::write(&path, &first).unwrap();
        let mut reader = Reader::of(File::open(&path).unwrap());
        assert_eq!(all(&mut reader), first);

        // A cut keeps the last lines, and the writer goes on.
        banger_engine::shorten_log(&path, 600).unwrap();
        let mut writer = File::options().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut writer, line(100).as_bytes()).unwrap();
        reader.find_its_place().unwrap();
        assert_eq!(all(&mut reader), line(100));

        // Nothing is cut: nothing is repeated.
        std::io::Write::write_all(&mut writer, line(101).as_bytes()).unwrap();
        reader.find_its_place().unwrap();
        assert_eq!(all(&mut reader), line(101));

        // A log that was begun anew is read from its start, as long as the old one or not.
        std::fs::write(&path, line(7).repeat(300)).unwrap();
        reader.find_its_place().unwrap();
        assert_eq!(all(&mut reader), line(7).repeat(300));
        std::fs::write(&path, line(8)).unwrap();
        reader.find_its_place().unwrap();
        assert_eq!(all(&mut reader), line(8));
    }

    #[test]
    fn a_tail_has_that_many_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a\nb\n", 9), "a\nb\n");
        assert_eq!(tail("a\nb\n", 0), "");
        assert_eq!(tail("", 3), "");
    }
}
