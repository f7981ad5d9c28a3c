//! The folder of one detached command, and all of them.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use banger_guest::limits::{MAX_DETACHED, MAX_SHOWN_ARGV};
use banger_guest::{DetachedCommand, DetachedEnd, DetachedId, ExitStatus};
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::log;

const ALIVE: &str = "alive";
const STARTED: &str = "started.json";
const END: &str = "end.json";

/// A command, and the time of its start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) argv: Vec<String>,
    pub(super) pid: u32,
    pub(super) unix_ms: u64,
}

/// One command's folder.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: DetachedId,
    pub(super) folder: PathBuf,
}

impl Record {
    /// The record of a folder that its watcher was given.
    pub(super) fn at(folder: &Path) -> Self {
        let id = folder
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        Self {
            id: id.unwrap_or(0),
            folder: folder.to_path_buf(),
        }
    }

    /// Makes the next one below `base`, for which those that have ended make room.
    pub(super) fn make(base: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(base)?;
        make_room(base)?;
        loop {
            let last = all(base).last().map_or(0, |record| record.id);
            let id = last.checked_add(1).ok_or(io::ErrorKind::StorageFull)?;
            let folder = base.join(id.to_string());
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(Self { id, folder }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says, for as long as the answer is kept, that somebody watches.
    pub(super) fn keep_alive(&self) -> io::Result<File> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.folder.join(ALIVE))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// Tells whether a watcher lives.
    pub(super) fn is_alive(&self) -> bool {
        let Ok(file) = File::open(self.folder.join(ALIVE)) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }

    pub(super) fn note_start(&self, started: &Started) -> io::Result<()> {
        self.note(STARTED, started)
    }

    pub(super) fn note_end(&self, status: Option<ExitStatus>) -> io::Result<()> {
        let unix_ms = now_ms();
        self.note(END, &DetachedEnd { status, unix_ms })
    }

    fn note(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let beside = self.folder.join(format!("{name}.new"));
        fs::write(
            &beside,
            serde_json::to_vec(value).map_err(io::Error::other)?,
        )?;
        fs::rename(beside, self.folder.join(name))
    }

    fn noted<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.folder.join(name)).ok()?).ok()
    }

    /// Its end, when it has ended.
    pub(super) fn end(&self) -> Option<DetachedEnd> {
        self.noted(END).or_else(|| {
            // Looked at again behind the lock: it may have ended in between.
            let lost = !self.is_alive();
            let end = self.noted(END);
            let unix_ms = 0;
            end.or_else(|| {
                lost.then_some(DetachedEnd {
                    status: None,
                    unix_ms,
                })
            })
        })
    }

    /// Its line in a list; `None` for one that is being started.
    pub(super) fn shown(&self) -> Option<DetachedCommand> {
        let started: Started = self.noted(STARTED)?;
        let segments = log::segments(&self.folder);
        Some(DetachedCommand {
            id: self.id,
            argv: started.argv,
            pid: started.pid,
            started_unix_ms: started.unix_ms,
            ended: self.end(),
            log_bytes: segments.iter().map(|(_, len)| len).sum(),
            log_cut: segments.first().is_some_and(|(number, _)| *number > 0),
        })
    }

    /// Forgets it.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.folder)
    }
}

/// All records below `base`, the oldest first.
pub(super) fn all(base: &Path) -> Vec<Record> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let mut records: Vec<Record> = entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path();
            Some(Record { id, folder })
        })
        .collect();
    records.sort_unstable_by_key(|record| record.id);
    records
}

fn make_room(base: &Path) -> io::Result<()> {
    let records = all(base);
    let mut too_many = (records.len() + 1).saturating_sub(MAX_DETACHED);
    for record in records {
        if too_many == 0 {
            return Ok(());
        }
        // Not one that is just being started: it is not shown yet.
        if record.shown().is_some_and(|shown| shown.ended.is_some()) {
            record.remove()?;
            too_many -= 1;
        }
    }
    if too_many == 0 {
        return Ok(());
    }
    let why = format!("{MAX_DETACHED} detached commands run already");
    Err(io::Error::other(why))
}

/// Words as a list shows them.
pub(super) fn cut(argv: &[String]) -> Vec<String> {
    let mut left = MAX_SHOWN_ARGV;
    let mut words = Vec::new();
    for word in argv {
        let end = word.floor_char_boundary(left);
        words.push(word[..end].to_owned());
        left -= end;
        if end < word.len() {
            break;
        }
    }
    words
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use banger_formats::Golden;

    use super::*;

    fn golden() -> Golden {
        Golden::of(env!("CARGO_MANIFEST_DIR"))
    }

    fn example() -> Started {
        Started {
            argv: vec!["sleep".to_owned(), "1000".to_owned()],
            pid: 90,
            unix_ms: 1_795_708_847_926,
        }
    }

    #[test]
    fn the_stored_forms_of_a_start_and_an_end_are_those_of_the_newest_golden_files() {
        let end = DetachedEnd {
            status: Some(ExitStatus::Code(0)),
            unix_ms: 1_795_708_848_235,
        };
        assert_eq!(golden().holds("started.json", &example()), Ok(()));
        assert_eq!(golden().holds("end.json", &end), Ok(()));
    }

    #[test]
    fn a_folder_of_version_1_is_read() {
        let base = tempfile::tempdir().unwrap();
        let record = Record::make(base.path()).unwrap();
        for name in [STARTED, END] {
            fs::write(record.folder.join(name), golden().text(1, name)).unwrap();
        }
        let shown = record.shown().unwrap();
        assert_eq!(
            (shown.id, shown.pid, shown.started_unix_ms),
            (1, 90, 1_795_708_847_926)
        );
        assert_eq!(shown.argv, ["sleep", "1000"]);
        let ended = shown.ended.unwrap();
        assert_eq!(ended.status, Some(ExitStatus::Code(0)));
        assert_eq!(ended.unix_ms, 1_795_708_848_235);
    }

    fn started(record: &Record) {
        let argv = vec!["a".to_owned()];
        let (pid, unix_ms) = (1, 2);
        record.note_start(&Started { argv, pid, unix_ms }).unwrap();
    }

    #[test]
    fn the_oldest_that_have_ended_make_room_and_those_that_run_do_not() {
        let base = tempfile::tempdir().unwrap();
        let mut watchers = Vec::new();
        for id in 1..=u32::try_from(MAX_DETACHED).unwrap() {
            let record = Record::make(base.path()).unwrap();
            assert_eq!(record.id, id);
            watchers.push(record.keep_alive().unwrap());
            started(&record);
        }
        let error = Record::make(base.path()).unwrap_err();
        assert!(error.to_string().contains("run already"), "{error}");
        Record::at(&base.path().join("3"))
            .note_end(Some(ExitStatus::Code(0)))
            .unwrap();
        assert_eq!(Record::make(base.path()).unwrap().id, 65);
        assert!(!base.path().join("3").exists());
    }

    #[test]
    fn a_command_without_its_watcher_has_an_end_that_nobody_knows() {
        let base = tempfile::tempdir().unwrap();
        let record = Record::make(base.path()).unwrap();
        let watcher = record.keep_alive().unwrap();
        started(&record);
        assert_eq!(record.shown().unwrap().ended, None);
        drop(watcher);
        assert_eq!(record.shown().unwrap().ended.unwrap().status, None);
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let words = ["sh".to_owned(), "ä".repeat(MAX_SHOWN_ARGV), "x".to_owned()];
        let cut = cut(&words);
        assert_eq!(cut.len(), 2);
        assert_eq!(cut[1].len(), MAX_SHOWN_ARGV - 2);
    }
}
