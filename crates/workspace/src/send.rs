//! One tar stream of everything that goes: files first, read and digested as they pass, then each repository's `.git`.
//!
//! ```text
//! files ──read, SHA-256──► tar ──► channel        meanwhile git makes the packs
//!                                  then: pack, idx, refs, shallow, HEAD, config, and the index last, because it
//!                                  holds what was seen of the files while they were sent
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use banger_guest::TransferDone;
use banger_guest::files::archive::{ArchiveWriter, Entry, EntryKind};
use rustix::fs::Stat;
use sha2::{Digest as _, Sha256};

use crate::compose::{Composed, Known, compose};
use crate::error::WorkspaceError;
use crate::gitdir;
use crate::index::{self, SentStat};
use crate::pack::Objects;
use crate::record::{Head, PartRecord, Record, Sent};
use crate::root::{Opened, Root};
use crate::survey::{Part, Source, Survey};
use crate::tracked::{EXECUTABLE, FILE, LINK, RepoPath, Tracked};

/// Bytes of a file that are read at once.
const PIECE: usize = 64 * 1024;
/// A file that was modified so short before it was read may be modified again without its times changing: its content
/// is compared the next time.
const RACY: Duration = Duration::from_secs(2);
/// Name of the stream's top entry; the receiver places what is in it.
const TOP: &[u8] = b"workspace";

/// How much of a repository's `.git` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitPart {
    /// All of it.
    Whole,
    /// New objects, the branch, HEAD, the index.
    Moved,
    /// New objects and the tree as it was sent.
    Tree,
    /// Nothing.
    Nothing,
}

/// What goes.
#[derive(Debug)]
pub struct Shipment {
    /// The survey that it comes from.
    pub survey: Arc<Survey>,
    /// Paths below the workspace of files that need not go; `None`: all go.
    pub unchanged: BTreeMap<RepoPath, Sent>,
    /// How much of each repository, in the survey's order.
    pub git: Vec<GitPart>,
    /// The packs, in the making.
    pub composing: Composing,
}

/// Repositories that are being composed on a thread of their own.
#[derive(Debug)]
pub struct Composing(JoinHandle<Result<Vec<Composed>, WorkspaceError>>);

impl Composing {
    /// Starts.
    pub fn start(survey: &Arc<Survey>, known: BTreeMap<RepoPath, Known>) -> Self {
        let survey = Arc::clone(survey);
        Self(std::thread::spawn(move || compose(&survey, &known)))
    }

    fn wait(self) -> Result<Vec<Composed>, WorkspaceError> {
        self.0
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Why a shipment broke off.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// On the host.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The stream.
    #[error("the stream to the guest broke off")]
    Stream(#[from] io::Error),
}

impl Shipment {
    /// Everything goes.
    pub fn whole(survey: &Arc<Survey>) -> Self {
        Self {
            survey: Arc::clone(survey),
            unchanged: BTreeMap::new(),
            git: vec![GitPart::Whole; survey.parts.len()],
            composing: Composing::start(survey, BTreeMap::new()),
        }
    }

    /// Writes the stream; answers what was in it, and what the guest has now.
    ///
    /// # Errors
    /// A file cannot be read, git fails, or the stream breaks.
    pub fn write(
        self,
        guest_path: &str,
        to: &mut dyn Write,
    ) -> Result<(TransferDone, Record), SendError> {
        let survey = self.survey;
        let mut stream = Stream::new(to)?;
        let mut files = self.unchanged;
        let mut stats = Vec::new();
        for part in &survey.parts {
            stats.push(stream.part(part, survey.wanted.include_untracked, &mut files)?);
        }
        let composed = self.composing.wait()?;
        let (mut parts, mut packs) = (BTreeMap::new(), BTreeMap::new());
        for (((part, composed), stats), what) in
            survey.parts.iter().zip(composed).zip(stats).zip(self.git)
        {
            let known = Known {
                commit: part.commit.clone(),
                tree: composed.tree.clone(),
                shallow: composed.history.shallow.iter().cloned().collect(),
            };
            let record = PartRecord {
                known,
                branch: part.branch.clone(),
                index: part.index_digest(),
                pack_bytes: composed.own.as_ref().map_or(0, Vec::len),
            };
            parts.insert(part.name(), record);
            packs.extend(composed.own.clone().map(|own| (part.name(), own)));
            stream.git(part, composed, &stats, what)?;
        }
        let done = stream.finish()?;
        let top = survey.top();
        let head = Head {
            source: top.repository.top().to_string_lossy().into_owned(),
            guest_path: guest_path.to_owned(),
            commit: top.commit.clone(),
            host_head: top.repository.head.clone(),
            branch: top.branch.clone(),
            complete: true,
            parts,
            ..Head::default()
        };
        Ok((done, Record { head, files, packs }))
    }
}

impl Part {
    /// Its path below the workspace as the protocol writes it; empty for the outermost.
    pub fn name(&self) -> String {
        let path = self.prefix.strip_suffix(b"/").unwrap_or(&self.prefix);
        banger_guest::TreePath::new(path)
            .map(String::from)
            .unwrap_or_default()
    }

    /// A digest of all that its index lists.
    pub fn index_digest(&self) -> String {
        let mut digest = Sha256::new();
        for entry in &self.tracked {
            digest.update(format!(
                "{:o} {} {} {} ",
                entry.mode, entry.oid, entry.stage, entry.skip_worktree
            ));
            digest.update(&entry.path);
            digest.update([0]);
        }
        banger_durable::hex(&digest.finalize())
    }
}

struct Stream<'a> {
    archive: ArchiveWriter<&'a mut dyn Write>,
    made: HashSet<RepoPath>,
    done: TransferDone,
    now: (i64, u32),
    piece: Vec<u8>,
}

impl<'a> Stream<'a> {
    fn new(to: &'a mut dyn Write) -> io::Result<Self> {
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

    /// The files of one repository. Answers what its index can know of them.
    fn part(
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
                None => self.file(&mut from, path, &full, entry)?,
            };
            let Some(sent) = sent else { continue };
            if !part.changed.contains(path) {
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

    fn file(
        &mut self,
        from: &mut Contents,
        path: &[u8],
        full: &[u8],
        entry: Option<&Tracked>,
    ) -> Result<Option<Sent>, SendError> {
        match from {
            Contents::WorkTree(root) => match root.opened(path)? {
                Opened::File(file, stat) => self.host_file(file, &stat, full).map(Some),
                Opened::Link(target, stat) => {
                    self.link(&target, times(&stat), full, &stat).map(Some)
                }
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

    fn host_file(&mut self, mut file: File, stat: &Stat, full: &[u8]) -> Result<Sent, SendError> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mode = if stat.st_mode & 0o100 == 0 {
            FILE
        } else {
            EXECUTABLE
        };
        self.header(
            full,
            EntryKind::File { size },
            stat.st_mode & 0o777,
            times(stat).0,
        )?;
        let (mut digest, mut left) = (Sha256::new(), size);
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let read = file.read(&mut self.piece[..want])?;
            if read == 0 {
                // It shrank. What was announced must follow; its state differs, so that the next time it goes again.
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
            times(stat),
            stat,
            banger_durable::hex(&digest.finalize()),
        ))
    }

    fn link(
        &mut self,
        target: &[u8],
        times: ((i64, u32), (i64, u32)),
        full: &[u8],
        stat: &Stat,
    ) -> Result<Sent, SendError> {
        let kind = EntryKind::Symlink {
            target: target.to_vec(),
        };
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
            self.header(full, EntryKind::Symlink { target }, 0o777, self.now)?;
        } else {
            let mode = entry.mode & 0o777;
            self.header(full, EntryKind::File { size }, mode, self.now)?;
            digest.1 = Some(&mut self.archive);
            objects.content(size, &mut digest).map_err(lost)?;
            let hashed = std::mem::take(&mut digest.0);
            self.archive.pad(size)?;
            self.done.bytes += size;
            return Ok(self.of_commit(entry.mode, size, hashed));
        }
        Ok(self.of_commit(entry.mode, size, digest.0))
    }

    fn of_commit(&self, mode: u32, size: u64, digest: Sha256) -> Sent {
        Sent {
            mode,
            size,
            modified: self.now,
            changed: (0, 0),
            inode: 0,
            sha256: banger_durable::hex(&digest.finalize()),
        }
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
        let racy = modified.0 >= settled || changed.0 >= settled;
        Sent {
            mode,
            size,
            modified,
            changed: if racy { (0, 0) } else { changed },
            inode: stat.st_ino,
            sha256,
        }
    }

    fn git(
        &mut self,
        part: &Part,
        composed: Composed,
        stats: &HashMap<RepoPath, SentStat>,
        what: GitPart,
    ) -> Result<(), SendError> {
        if what == GitPart::Nothing {
            return Ok(());
        }
        let git = [&part.prefix[..], b".git"].concat();
        let at = |name: &str| [&git[..], b"/", name.as_bytes()].concat();
        if let Some(pack) = &composed.pack {
            // git looks for packs by their indexes: the pack must be there first.
            for (extension, file) in [("pack", &pack.pack), ("idx", &pack.index)] {
                self.opened(
                    file,
                    &at(&format!("objects/pack/pack-{}.{extension}", pack.name)),
                )?;
            }
        }
        self.text(
            &at(gitdir::SENT_REF),
            format!("{}\n", composed.tree).as_bytes(),
        )?;
        if what == GitPart::Tree {
            return Ok(());
        }
        if let Some(shallow) = gitdir::shallow(&composed) {
            self.text(&at("shallow"), shallow.as_bytes())?;
        }
        if what == GitPart::Whole {
            for folder in [
                "objects/info",
                "objects/pack",
                "refs/heads",
                "refs/tags",
                "info",
            ] {
                self.directory(&at(folder))?;
            }
            self.text(
                &at("packed-refs"),
                gitdir::packed_refs(&composed).as_bytes(),
            )?;
            self.text(&at("config"), gitdir::config(part).as_bytes())?;
            self.text(&at("info/exclude"), &part.excludes()?)?;
        }
        if let (Some(branch), Some(commit)) = (&part.branch, &part.commit) {
            self.text(
                &at(&format!("refs/heads/{branch}")),
                format!("{commit}\n").as_bytes(),
            )?;
        }
        self.text(&at("HEAD"), gitdir::head(part).as_bytes())?;
        let index = index::write(part.repository.format, &part.tracked, stats);
        self.text(&at("index"), &index)
    }

    /// A directory, after those around it, once.
    fn directory(&mut self, path: &[u8]) -> io::Result<()> {
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

    fn header(
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

    fn entry(
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

    fn text(&mut self, path: &[u8], bytes: &[u8]) -> Result<(), SendError> {
        let size = bytes.len() as u64;
        self.header(path, EntryKind::File { size }, 0o644, self.now)?;
        self.archive.content(bytes)?;
        self.archive.pad(size)?;
        self.done.bytes += size;
        Ok(())
    }

    fn opened(&mut self, mut file: &File, path: &[u8]) -> Result<(), SendError> {
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

    fn finish(self) -> Result<TransferDone, SendError> {
        self.archive.finish()?;
        Ok(self.done)
    }
}

/// Where the files of a repository are read.
enum Contents {
    WorkTree(Root),
    Commit(Objects),
}

impl Contents {
    fn open(part: &Part) -> Result<Self, WorkspaceError> {
        match &part.source {
            Source::WorkTree => Root::open(part.repository.top()).map(Self::WorkTree),
            Source::Commit(_) => Ok(Objects::open(&part.repository.git).map(Self::Commit)?),
        }
    }
}

/// Digests what passes on its way into the archive.
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

/// When a file was modified, and when its state changed.
fn times(stat: &Stat) -> ((i64, u32), (i64, u32)) {
    let nanos = |nanos| u32::try_from(nanos).unwrap_or(0);
    (
        (stat.st_mtime, nanos(stat.st_mtime_nsec)),
        (stat.st_ctime, nanos(stat.st_ctime_nsec)),
    )
}

impl Part {
    /// What is to be ignored in the guest because it is ignored here by other rules than the repository's own files.
    fn excludes(&self) -> Result<Vec<u8>, WorkspaceError> {
        let mut rules = Vec::new();
        let own = self.repository.git_path("info/exclude")?;
        let global =
            self.repository
                .git
                .line(&["config", "--type=path", "--get", "core.excludesFile"])?;
        let default = std::env::var_os("XDG_CONFIG_HOME")
            .map(std::path::PathBuf::from)
            .or_else(|| {
                std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".config"))
            })
            .map(|config| config.join("git/ignore"));
        // The repository's own rules come last, because the last one decides (gitignore(5)).
        let global = global.map(std::path::PathBuf::from).or(default);
        for path in global.into_iter().chain([own]) {
            match std::fs::read(&path) {
                Ok(text) => {
                    rules.extend(text);
                    rules.push(b'\n');
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(WorkspaceError::file("read", path)(error)),
            }
        }
        Ok(rules)
    }
}
