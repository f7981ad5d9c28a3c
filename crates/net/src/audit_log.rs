//! The audit log's two files: one is written, the other is the older part.
//!
//! Both are made before the process starts, for its jail makes no files. When the one that is written is full, the other
//! is emptied and written next; the numbers in the lines tell which is which.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use banger_net_control::{AUDIT_FILE_MAX_BYTES, AUDIT_FILES, Event, Record, Sealed, seal, tail};

use crate::limits::Rate;

/// Events a second that are written; the number of the others is.
const EVENTS_A_SECOND: u32 = 500;
const EVENTS_AT_ONCE: u32 = 5000;
/// Bytes that are gathered before they are written.
const GATHERED_BYTES: usize = 64 * 1024;

/// Makes the files where they are missing, readable by the user alone.
///
/// # Errors
/// They cannot be made.
pub(crate) fn make_files(folder: &Path) -> io::Result<[PathBuf; 2]> {
    let paths = AUDIT_FILES.map(|name| folder.join(name));
    for path in &paths {
        open(path)?;
    }
    Ok(paths)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => options.create(true).open(path),
        opened => opened,
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The log, or only its numbers when there is no folder for it.
pub(crate) struct AuditLog {
    files: Option<[File; 2]>,
    current: usize,
    length: u64,
    gathered: Vec<u8>,
    last: Option<(u64, String)>,
    rate: Rate,
    omitted: u64,
    /// The files could not be written: told once.
    failed: bool,
}

impl AuditLog {
    /// Goes on behind the last whole line of the files.
    pub(crate) fn open(folder: Option<&Path>) -> io::Result<Self> {
        let mut log = Self {
            files: None,
            current: 0,
            length: 0,
            gathered: Vec::new(),
            last: None,
            rate: Rate::new(EVENTS_A_SECOND, EVENTS_AT_ONCE, Instant::now()),
            omitted: 0,
            failed: false,
        };
        let Some(folder) = folder else {
            return Ok(log);
        };
        let mut files = Vec::new();
        for (index, path) in make_files(folder)?.iter().enumerate() {
            let mut file = open(path)?;
            let mut text = Vec::new();
            (&mut file)
                .take(2 * AUDIT_FILE_MAX_BYTES)
                .read_to_end(&mut text)?;
            let (whole, last) = tail(&text);
            // What a crash cut off is no line.
            if whole < text.len() as u64 {
                file.set_len(whole)?;
            }
            let is_newer = match (&last, &log.last) {
                (Some(last), Some(other)) => last.0 > other.0,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if is_newer {
                log.last = last;
                log.current = index;
                log.length = whole;
            }
            files.push(file);
        }
        if let Ok(files) = <[File; 2]>::try_from(files) {
            log.files = Some(files);
        }
        Ok(log)
    }

    /// Records an event; answers with its record, also when there were too many to write it.
    pub(crate) fn record(&mut self, event: Event) -> Record {
        let is_written = self.rate.take(Instant::now());
        if is_written && self.omitted > 0 {
            let count = std::mem::take(&mut self.omitted);
            self.append(Event::Omitted { count });
        }
        match is_written {
            true => self.append(event),
            false => {
                self.omitted += 1;
                self.next(event)
            }
        }
    }

    fn next(&self, event: Event) -> Record {
        let last = self.last.as_ref().map(|(seq, hash)| (*seq, hash.as_str()));
        Record::after(last, now_ms(), event)
    }

    fn append(&mut self, event: Event) -> Record {
        let record = self.next(event);
        if let Ok(Sealed { line, hash }) = seal(&record) {
            self.gathered.extend_from_slice(line.as_bytes());
            self.last = Some((record.seq, hash));
        }
        if self.gathered.len() >= GATHERED_BYTES {
            self.flush();
        }
        record
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let gathered = std::mem::take(&mut self.gathered);
        if let Err(error) = self.write(&gathered)
            && !std::mem::replace(&mut self.failed, true)
        {
            crate::say(format_args!("the audit log cannot be written: {error}"));
        }
        self.gathered = gathered;
        self.gathered.clear();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(files) = &mut self.files else {
            return Ok(());
        };
        if self.length + bytes.len() as u64 > AUDIT_FILE_MAX_BYTES {
            self.current = 1 - self.current;
            files[self.current].set_len(0)?;
            self.length = 0;
        }
        let file = &mut files[self.current];
        file.seek(SeekFrom::Start(self.length))?;
        file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use banger_net_control::{read_audit, verify};

    use super::*;

    #[test]
    fn the_chain_goes_on_over_processes_crashes_and_both_files() {
        let dir = tempfile::tempdir().unwrap();
        let event = || Event::Omitted { count: 7 };
        for round in 0..3_u64 {
            let mut log = AuditLog::open(Some(dir.path())).unwrap();
            for _ in 0..10 {
                log.record(event());
            }
            log.flush();
            let found = verify(&read_audit(dir.path()).unwrap()).unwrap();
            assert_eq!(
                (found.records, found.last_seq),
                (10 * (round + 1), 10 * (round + 1))
            );
            // A crash within a line.
            let path = dir.path().join(AUDIT_FILES[0]);
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"{\"seq\":9").unwrap();
        }
        // Longer than one file: the older part is there, and the chain whole.
        let mut log = AuditLog::open(Some(dir.path())).unwrap();
        log.rate = Rate::new(u32::MAX, u32::MAX, Instant::now());
        let lines = 2 * AUDIT_FILE_MAX_BYTES / 130;
        for _ in 0..lines {
            log.record(event());
        }
        log.flush();
        let text = read_audit(dir.path()).unwrap();
        let found = verify(&text).unwrap();
        assert!(found.first_seq > 1 && found.last_seq >= lines, "{found:?}");
        assert!(
            text.len() as u64 > AUDIT_FILE_MAX_BYTES
                && text.len() as u64 <= 2 * AUDIT_FILE_MAX_BYTES
        );
    }

    #[test]
    fn too_many_events_are_counted_and_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AuditLog::open(Some(dir.path())).unwrap();
        let event = || Event::Closed {
            opened: 1,
            sent: 0,
            received: 0,
            lasted_ms: 0,
        };
        log.rate = Rate::new(1, 10, Instant::now());
        (0..50).for_each(|_| drop(log.record(event())));
        log.rate = Rate::new(1, 10, Instant::now());
        log.record(event());
        log.flush();
        let text = read_audit(dir.path()).unwrap();
        assert_eq!(verify(&text).unwrap().records, 12);
        assert!(text.contains("\"omitted\",\"count\":40"), "{text}");
    }
}
