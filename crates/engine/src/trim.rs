//! Limits on logs: an endless console, or a daemon that runs for months, must not fill the host's disk.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

use crate::EngineError;
use crate::text::tail;

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
    let kept = tail(path, max_bytes / 2).map_err(failed())?;
    let whole_lines = kept
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(failed())?;
    // A reader that has lost its place waits until all that is kept is there again; the lock ends with the descriptor.
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(|errno| failed()(errno.into()))?;
    file.set_len(0)
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
