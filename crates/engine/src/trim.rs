//! Limits on logs: an endless console, or a daemon that runs for months, must not fill the host's disk.
//!
//! ```text
//! 0                     base                       limit of the process for the length of a file
//! ├────── a hole ───────┼── text ──► ··············┤  write: EFBIG, and the text is dropped
//! ```
//!
//! The limit (`RLIMIT_FSIZE`, setrlimit(2)) is as large as the process's largest disk, and one for all of its files. So its
//! log begins behind a hole, a little below the limit: it is bounded also while nobody is there to shorten it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation, SeekFrom};
use rustix::io::Errno;

use crate::EngineError;
use crate::text::tail;

/// Room for the text of a [`bounded`] log, bytes.
const ROOM_BYTES: u64 = 64 << 20;
/// Multiple at which such a text begins, bytes: more than any file system's block.
const BASE_MULTIPLE: u64 = 1 << 20;

/// Prepares a log for a writer that appends to it and whose files have at most `file_max_bytes`, for a start: its text begins
/// behind a hole, so that it has some [`ROOM_BYTES`]. Half of that is kept of an earlier text. On a file system without
/// holes the log stays as it is, and only [`appended`] bounds it.
///
/// # Errors
/// The log cannot be made, read or written.
pub(crate) fn bounded(path: &Path, file_max_bytes: u64) -> Result<(), EngineError> {
    let base = file_max_bytes.saturating_sub(ROOM_BYTES) / BASE_MULTIPLE * BASE_MULTIPLE;
    move_text(path, base, ROOM_BYTES / 2)
        .map_err(EngineError::io(format!("prepare {}", path.display())))
}

fn move_text(path: &Path, base: u64, kept_bytes: u64) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let (start, length) = (text_start(&file)?, file.metadata()?.len());
    if start == base && length - start <= kept_bytes {
        return Ok(());
    }
    let kept = tail(path, kept_bytes.min(length - start))?;
    // A reader that has lost its place waits until all that is kept is there again; the lock ends with the descriptor.
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    file.set_len(0)?;
    // A file system that has no such long files, or no holes.
    if file.set_len(base).is_err() || text_start(&file)? != base {
        file.set_len(0)?;
    }
    file.write_all(&kept)
}

/// Begin of the text of a log behind the hole at its front; its end when it has none.
fn text_start(file: &File) -> io::Result<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(0)) {
        Ok(start) => Ok(start),
        // There is nothing but a hole, or nothing at all (lseek(2)).
        Err(Errno::NXIO) => Ok(file.metadata()?.len()),
        Err(Errno::INVAL) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Shortens a log that its writer appends to, keeping the last half of `max_bytes`; leaves a log of at most `max_bytes`
/// as it is. Bytes that are written between the read and the cut are lost.
///
/// # Errors
/// The log cannot be read or written.
pub fn appended(path: &Path, max_bytes: u64) -> Result<(), EngineError> {
    let failed = || EngineError::io(format!("shorten {}", path.display()));
    if length(path)? <= max_bytes {
        return Ok(());
    }
    let mut file = OpenOptions::new()
        .append(true)
        .read(true)
        .open(path)
        .map_err(failed())?;
    let start = text_start(&file).map_err(failed())?;
    if length(path)?.saturating_sub(start) <= max_bytes {
        return Ok(());
    }
    let kept = tail(path, max_bytes / 2).map_err(failed())?;
    let whole_lines = kept
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    // A reader that has lost its place waits until all that is kept is there again; the lock ends with the descriptor.
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(|errno| failed()(errno.into()))?;
    file.set_len(start)
        .and_then(|()| file.write_all(&kept[whole_lines..]))
        .map_err(failed())
}

/// Frees the space at the front of a log whose writer remembers its offset; the last `keep_bytes` keep their place.
pub(crate) fn positioned(path: &Path, keep_bytes: u64) -> Result<(), EngineError> {
    let failed = || format!("shorten {}", path.display());
    let Some(front) = length(path)?
        .checked_sub(keep_bytes)
        .filter(|front| *front > 0)
    else {
        return Ok(());
    };
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(EngineError::io(failed()))?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(&file, flags, 0, front) {
        // A file system without holes keeps all of it.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(e) => Err(EngineError::io(failed())(e)),
    }
}

fn length(path: &Path) -> Result<u64, EngineError> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(EngineError::io(format!("read {}", path.display()))(e)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Seek;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn an_appended_log_keeps_its_last_whole_lines_and_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        for number in 0..100 {
            writeln!(writer, "line {number:03}").unwrap();
        }
        appended(&path, 900).unwrap();
        assert_eq!(length(&path).unwrap(), 900, "900 bytes are not too many");
        appended(&path, 100).unwrap();
        writeln!(writer, "more").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("line 095\n") && text.ends_with("line 099\nmore\n"),
            "{text}"
        );
    }

    #[test]
    fn a_bounded_log_begins_behind_a_hole_and_keeps_its_place_when_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "earlier\n").unwrap();
        let limit = (1 << 30) + 5;
        let base = (1 << 30) - ROOM_BYTES;
        let text = || {
            let bytes = std::fs::read(&path).unwrap();
            String::from_utf8(bytes[usize::try_from(base).unwrap()..].to_vec()).unwrap()
        };
        bounded(&path, limit).unwrap();
        assert_eq!(text(), "earlier\n");
        assert!(
            path.metadata().unwrap().blocks() < 1024,
            "the front is a hole"
        );
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        for number in 0..100 {
            writeln!(writer, "line {number:03}").unwrap();
        }
        // The next start finds it as it should be.
        bounded(&path, limit).unwrap();
        appended(&path, 908).unwrap();
        assert_eq!(text().len(), 908, "908 bytes are not too many");
        appended(&path, 100).unwrap();
        writeln!(writer, "more").unwrap();
        assert!(text().starts_with("line 095\n") && text().ends_with("line 099\nmore\n"));

        // A larger limit moves it, and so does a smaller one.
        for limit in [limit * 2, 1 << 20] {
            bounded(&path, limit).unwrap();
            let base = limit.saturating_sub(ROOM_BYTES) / BASE_MULTIPLE * BASE_MULTIPLE;
            assert_eq!(text_start(&File::open(&path).unwrap()).unwrap(), base);
            assert_eq!(length(&path).unwrap() - base, 50);
        }
    }

    #[test]
    fn a_new_bounded_log_is_private_and_empty_and_a_long_one_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        bounded(&path, 1 << 30).unwrap();
        let made = path.metadata().unwrap();
        assert_eq!((made.mode() & 0o777, made.blocks()), (0o600, 0));
        assert_eq!(made.len(), (1 << 30) - ROOM_BYTES);
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        writer
            .write_all(&vec![b'x'; (ROOM_BYTES / 2 + 1) as usize])
            .unwrap();
        bounded(&path, 1 << 30).unwrap();
        assert_eq!(length(&path).unwrap(), (1 << 30) - ROOM_BYTES / 2);
    }

    #[test]
    fn a_positioned_log_gives_back_space_and_its_writer_goes_on_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = std::fs::File::create(&path).unwrap();
        writer.write_all(&vec![b'x'; 1 << 20]).unwrap();
        positioned(&path, 4096).unwrap();
        assert!(path.metadata().unwrap().blocks() * 512 < 1 << 19);
        writer.write_all(b"end").unwrap();
        assert_eq!(writer.stream_position().unwrap(), (1 << 20) + 3);
        assert_eq!(tail(&path, 5).unwrap(), b"xxend");
    }

    #[test]
    fn a_missing_log_needs_no_shortening() {
        appended(Path::new("/nonexistent/log"), 1).unwrap();
        positioned(Path::new("/nonexistent/log"), 1).unwrap();
    }
}
