//! Logs as text, once or followed.
//!
//! ```text
//! file from the wanted line ──► chunks ──► end, or: inotify says it grew ──► more chunks
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::Stream;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

use crate::readiness::readable;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Bytes at the end of a log in which the last lines are searched.
const TAIL_MAX: u64 = 8 << 20;

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
    Ok(Some(chunks(file, grown)))
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

fn chunks(file: File, grown: Option<Grown>) -> impl Stream<Item = io::Result<Bytes>> {
    futures::stream::try_unfold((file, grown), |(mut file, grown)| async move {
        loop {
            let mut chunk = vec![0; CHUNK];
            let n = file.read(&mut chunk)?;
            if n > 0 {
                chunk.truncate(n);
                return Ok(Some((Bytes::from(chunk), (file, grown))));
            }
            match &grown {
                Some(grown) if grown.changed().await? => after_a_cut(&mut file)?,
                _ => return Ok(None),
            }
        }
    })
}

/// A log that was cut while it was followed goes on at its new start.
fn after_a_cut(file: &mut File) -> io::Result<()> {
    if file.stream_position()? > file.metadata()?.len() {
        file.seek(SeekFrom::Start(0))?;
    }
    Ok(())
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

    #[test]
    fn a_tail_has_that_many_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a\nb\n", 9), "a\nb\n");
        assert_eq!(tail("a\nb\n", 0), "");
        assert_eq!(tail("", 3), "");
    }
}
