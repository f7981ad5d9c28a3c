//! Compares a returned workspace with the sent one: one patch, made by the host's git outside of the host's repository.
//!
//! ```text
//! objects kept with the record ─ unpack ─┐
//! tree as it was sent ─ read-tree, when ──┴► index of our own ─ + contents, names ─► diff-index ─► patch
//!                       much has changed                            ▲
//! the host's attributes ─► which contents the host's git converts ──┘
//! ```
//!
//! The old side holds the host's files as the host's git stores them. So the new side holds the guest's files as that
//! git would store them: line ends, encodings and identifiers are converted by the host's attributes, because
//! `git apply` converts them back. Content filters are programs, and none is started: a filtered file goes in as it is.
//!
//! git runs in a repository of our own that is gone afterwards and borrows the host's objects.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::attributes::{self, Attributes, LineEnds, Settings};
use crate::compose::alternate;
use crate::error::{GitError, WorkspaceError};
use crate::export::{Base, DIFF, SETTINGS};
use crate::git::Git;
use crate::pack::Objects;
use crate::record::Record;
use crate::repository::Oid;
use crate::returned::{Returned, ReturnedFile};
use crate::root::{Opened, Root};
use crate::survey::as_path;
use crate::tracked::{self, FILE, LINK, RepoPath, split_once};

/// Paths, and their bytes together, that are named to git one by one.
const FEW: usize = 256;
const FEW_BYTES: usize = 32 * 1024;
/// Largest file whose line ends are looked at.
const MAX_LOOKED: u64 = 64 << 20;

/// Form of a filtered file on the old side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtered {
    /// As the host's git stores it, so that a plain `git apply` takes it.
    Cleaned,
    /// Its bytes as they were sent, where the host still has them: for a reader, and for a git whose filters are off.
    AsSent,
}

/// A patch, and the files that need a remark.
#[derive(Debug, Default)]
pub struct Compared {
    /// The patch.
    pub patch: Vec<u8>,
    /// Filtered files in it that a plain `git apply` does not take, with the filters' names: only the filter knows its
    /// own output for them.
    pub filtered: Vec<(RepoPath, String)>,
}

/// One repository as it was sent, ready to be compared with.
#[derive(Debug)]
pub struct Comparison {
    /// git in the repository of our own.
    git: Git,
    /// git in the host's repository.
    host: Git,
    /// The tree as it was sent.
    tree: String,
    base: String,
    prefix: String,
    /// Digests of the sent files, by path in this repository.
    sent: BTreeMap<RepoPath, String>,
    _folder: tempfile::TempDir,
}

impl Comparison {
    /// Makes the tree of the sent files. `part` is named as in [`crate::Head::parts`].
    ///
    /// # Errors
    /// The host's repository is gone, or lacks the objects or the base commit.
    pub fn open(record: &Record, part: &str, base: &Base) -> Result<Self, WorkspaceError> {
        let sent = record.head.parts.get(part);
        let sent = sent.ok_or_else(|| WorkspaceError::Asked(format!("\"{part}\" was not sent")))?;
        let (path, prefix) = match part {
            "" => (PathBuf::new(), String::new()),
            name => {
                let text = crate::export::plain(name)
                    .map_err(|error| WorkspaceError::Asked(error.to_string()))?;
                (PathBuf::from(&text), format!("{text}/"))
            }
        };
        let top = Path::new(&record.head.source).join(path);
        let base = match base {
            Base::Other(oid) if part.is_empty() => oid.clone(),
            Base::Commit if part.is_empty() => sent.known.commit.clone().ok_or_else(|| {
                WorkspaceError::Asked("the sent workspace has no commit".to_owned())
            })?,
            _ => sent.known.tree.clone(),
        };
        let folder = tempfile::Builder::new().prefix("banger-compare-").tempdir();
        let folder = folder.map_err(WorkspaceError::file(
            "make a folder in",
            std::env::temp_dir(),
        ))?;
        let host = Git::new(&top);
        let own = host.line(&["rev-parse", "--git-path", "objects"])?;
        let own = own.map_or_else(|| top.clone(), |path| top.join(path));
        let dir = folder.path().join("git");
        repository(&dir, base.len() == 64)?;
        let git = SETTINGS
            .iter()
            .fold(Git::new(folder.path()), |git, (key, value)| {
                git.set(*key, *value)
            })
            .set("core.attributesFile", "/dev/null")
            .env("GIT_DIR", &dir)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternate(&own))
            .env("GIT_INDEX_FILE", folder.path().join("index"));
        if let Some(pack) = record.packs.get(part) {
            git.fed(&["unpack-objects", "-q"], pack.clone())?;
        }
        let here = record.files.range(prefix.clone().into_bytes()..);
        let here = here.map_while(|(path, sent)| {
            let path = path.strip_prefix(prefix.as_bytes())?;
            Some((path.to_vec(), sent.sha256.clone()))
        });
        Ok(Self {
            sent: here.collect(),
            git: git.env("GIT_LITERAL_PATHSPECS", "1"),
            host,
            tree: sent.known.tree.clone(),
            base,
            prefix,
            _folder: folder,
        })
    }

    /// The patch from the sent tree to the returned files.
    ///
    /// # Errors
    /// git's own, and those of files.
    pub fn patch(
        &self,
        returned: &Returned,
        filtered: Filtered,
    ) -> Result<Compared, WorkspaceError> {
        if returned.is_empty() && self.base == self.tree {
            return Ok(Compared::default());
        }
        let settings = attributes::settings(&self.host)?;
        let attributes = self.attributes(returned)?;
        let names: BTreeMap<_, _> = attributes
            .iter()
            .filter_map(|(path, of)| Some((path.clone(), of.filter()?.to_owned())))
            .collect();
        let (mut doubtful, mut other) = (Vec::new(), Vec::new());
        if !names.is_empty() {
            doubtful = self.doubtful(&names)?;
            if filtered == Filtered::AsSent {
                self.as_sent(&names, &mut other)?;
            }
        }
        if settings.no_links {
            self.links_as_files(returned, &mut other)?;
        }
        let base = self.base_with(other)?;
        // Of a few paths alone git need not know the other files: an index of twenty thousand is read and written twice.
        let few = few(returned).filter(|_| base == self.tree);
        if few.is_none() {
            self.git.output(&["read-tree", &self.tree])?;
        }
        self.take(returned, &attributes, &settings)?;
        let mut args = vec!["diff-index".to_owned(), "--cached".to_owned()];
        args.extend(DIFF.split_whitespace().map(str::to_owned));
        args.push(format!("--src-prefix=a/{}", self.prefix));
        args.push(format!("--dst-prefix=b/{}", self.prefix));
        args.extend([base, "--".to_owned()]);
        let mut args: Vec<_> = args.into_iter().map(OsString::from).collect();
        args.extend(few.unwrap_or_default());
        Ok(Compared {
            patch: self.git.output(&args)?,
            filtered: doubtful,
        })
    }

    /// The host's attributes of the returned files.
    fn attributes(
        &self,
        returned: &Returned,
    ) -> Result<BTreeMap<RepoPath, Attributes>, WorkspaceError> {
        let files = returned.files().iter().filter(|file| file.mode != LINK);
        let paths: Vec<_> = files.map(|file| &file.path).collect();
        Ok(attributes::of(&self.host, &paths)?)
    }

    /// Filtered files whose old side differs from the form in which the host's git stores them.
    fn doubtful(
        &self,
        names: &BTreeMap<RepoPath, String>,
    ) -> Result<Vec<(RepoPath, String)>, WorkspaceError> {
        let paths: Vec<_> = names.keys().collect();
        let sent = listed(&self.git, &["ls-tree", "-z", "-r", &self.tree], &paths)?;
        let host = self.host.clone().env("GIT_LITERAL_PATHSPECS", "1");
        let indexed = listed(&host, &["ls-files", "-s", "-z", "--full-name"], &paths)?;
        let differs = |path: &&RepoPath| {
            let old = sent.get(*path);
            old.is_some() && old != indexed.get(*path)
        };
        let named = names.keys().filter(differs);
        Ok(named
            .map(|path| ([self.prefix.as_bytes(), path].concat(), names[path].clone()))
            .collect())
    }

    /// Entries with the bytes of filtered files as they were sent, where the host still has them.
    fn as_sent(
        &self,
        names: &BTreeMap<RepoPath, String>,
        entries: &mut Vec<u8>,
    ) -> Result<(), WorkspaceError> {
        let root = Root::open(self.host.dir())?;
        for path in names.keys() {
            let Opened::File(file, stat) = root.opened(path)? else {
                continue;
            };
            let sent = self.sent.get(path);
            if stat.st_size < 0 || sent != Some(&crate::digest::of(file, path)?) {
                continue;
            }
            let at = self.host.dir().join(as_path(path));
            let args = ["hash-object", "-w", "--no-filters", "--"].map(OsString::from);
            let args: Vec<_> = args.into_iter().chain([at.into_os_string()]).collect();
            let oid = self.git.output(&args)?;
            let oid = String::from_utf8_lossy(&oid).trim().to_owned();
            let mode = tracked::mode_of_file(stat.st_mode);
            entry(entries, mode, &oid, path);
        }
        Ok(())
    }

    /// Entries with the text of links as plain files: on a host without links git apply finds those.
    fn links_as_files(
        &self,
        returned: &Returned,
        entries: &mut Vec<u8>,
    ) -> Result<(), WorkspaceError> {
        let files = returned.files().iter().map(|file| &file.path);
        let paths: Vec<_> = files.chain(returned.gone()).collect();
        let args = ["ls-tree", "-z", "-r", &self.base];
        let link = format!("{LINK:o}");
        for (path, words) in words(&self.git, &args, &paths)? {
            let oid = words.iter().find(|word| crate::is_oid(word));
            if let Some(oid) = oid.filter(|_| words.contains(&link)) {
                entry(entries, FILE, oid, &path);
            }
        }
        Ok(())
    }

    /// The base with other entries.
    fn base_with(&self, entries: Vec<u8>) -> Result<String, WorkspaceError> {
        if entries.is_empty() {
            return Ok(self.base.clone());
        }
        self.git.output(&["read-tree", &self.base])?;
        self.git
            .fed(&["update-index", "-z", "--add", "--index-info"], entries)?;
        let tree = self.git.output(&["write-tree", "--missing-ok"])?;
        Ok(String::from_utf8_lossy(&tree).trim().to_owned())
    }

    fn take(
        &self,
        returned: &Returned,
        attributes: &BTreeMap<RepoPath, Attributes>,
        settings: &Settings,
    ) -> Result<(), WorkspaceError> {
        let converted = self.converted(returned, attributes, &settings.line_ends)?;
        let mut oids = BTreeMap::new();
        let as_they_are = |file: &&ReturnedFile| !converted.contains_key(&file.number);
        let plain: Vec<_> = returned.files().iter().filter(as_they_are).collect();
        oids.extend(hashed(&self.git, returned, &plain, &["--no-filters"])?);
        oids.extend(converted);
        let mut entries = Vec::new();
        let nothing = "0".repeat(self.tree.len());
        for path in returned.gone() {
            entry(&mut entries, 0, &nothing, path);
        }
        for file in returned.files() {
            let oid = oids.get(&file.number).map_or(&nothing, |oid| oid);
            let mode = match file.mode {
                LINK if settings.no_links => FILE,
                mode => mode,
            };
            entry(&mut entries, mode, oid, &file.path);
        }
        // Removed paths come first, and --replace lets a file take a directory's place and the other way round.
        let args = ["update-index", "-z", "--add", "--replace", "--index-info"];
        self.git.fed(&args, entries).map(drop)?;
        Ok(())
    }

    /// Objects of contents that the host's git would convert, by their numbers, without those that it cannot convert.
    fn converted(
        &self,
        returned: &Returned,
        attributes: &BTreeMap<RepoPath, Attributes>,
        settings: &LineEnds,
    ) -> Result<BTreeMap<usize, Oid>, WorkspaceError> {
        let none = Attributes::default();
        let files = returned.files().iter().filter(|file| file.mode != LINK);
        let mut wanted: Vec<_> = files
            .map(|file| (file, attributes.get(&file.path).unwrap_or(&none)))
            .filter(|(file, of)| of.convert(file.has_crlf, settings))
            .collect();
        self.leave_line_ends(&mut wanted)?;
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let at = returned.folder().join(".gitattributes");
        let rules = wanted.iter().map(|(file, of)| of.rule(file.number));
        std::fs::write(&at, rules.collect::<String>())
            .map_err(WorkspaceError::file("write", at))?;
        let git = settings
            .iter()
            .fold(self.git.clone(), |git, (key, value)| git.set(key, value))
            .env("GIT_WORK_TREE", returned.folder())
            .within(returned.folder());
        let files: Vec<_> = wanted.into_iter().map(|(file, _)| file).collect();
        // An encoding may be unknown here, or the content invalid in it: git apply then also takes it unchanged.
        Ok(hashed(&git, returned, &files, &[]).unwrap_or_default())
    }

    /// Takes out files whose old content has CR LF in the repository itself: git leaves line ends of such alone.
    fn leave_line_ends(
        &self,
        wanted: &mut Vec<(&ReturnedFile, &Attributes)>,
    ) -> Result<(), WorkspaceError> {
        let ends =
            |(file, of): &&(&ReturnedFile, &Attributes)| file.has_crlf && of.only_line_ends();
        let paths: Vec<_> = wanted
            .iter()
            .filter(ends)
            .map(|(file, _)| &file.path)
            .collect();
        if paths.is_empty() {
            return Ok(());
        }
        let old = listed(&self.git, &["ls-tree", "-z", "-r", &self.tree], &paths)?;
        let mut objects = Objects::open(&self.git)?;
        let mut kept = BTreeSet::new();
        for (path, oid) in &old {
            let size = objects.blob(oid)?;
            let mut content = LooksForCrlf::default();
            objects.content(size, &mut content)?;
            if content.found && size <= MAX_LOOKED {
                kept.insert(path.clone());
            }
        }
        wanted.retain(|(file, of)| !(of.only_line_ends() && kept.contains(&file.path)));
        Ok(())
    }
}

/// Writer that looks for a CR LF in the bytes.
#[derive(Debug, Default)]
struct LooksForCrlf {
    last: u8,
    found: bool,
}

impl std::io::Write for LooksForCrlf {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.found |= (self.last == b'\r' && bytes.first() == Some(&b'\n'))
            || bytes.windows(2).any(|pair| pair == b"\r\n");
        self.last = bytes.last().copied().unwrap_or(self.last);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An empty repository at a path that does not exist yet.
pub(crate) fn repository(dir: &Path, sha256: bool) -> Result<(), WorkspaceError> {
    let config = match sha256 {
        true => "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n",
        false => "[core]\n\trepositoryformatversion = 0\n",
    };
    let made = std::fs::create_dir_all(dir.join("objects"))
        .and_then(|()| std::fs::create_dir(dir.join("refs")))
        .and_then(|()| std::fs::write(dir.join("HEAD"), "ref: refs/heads/none\n"))
        .and_then(|()| std::fs::write(dir.join("config"), config));
    made.map_err(WorkspaceError::file("make", dir))
}

/// Objects of contents, by their numbers.
fn hashed(
    git: &Git,
    returned: &Returned,
    files: &[&ReturnedFile],
    flags: &[&str],
) -> Result<BTreeMap<usize, Oid>, GitError> {
    use std::os::unix::ffi::OsStrExt as _;
    if files.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut paths = Vec::new();
    for file in files {
        // Attributes are looked up by the path below the work tree.
        if !flags.is_empty() {
            paths.extend_from_slice(returned.folder().as_os_str().as_bytes());
            paths.push(b'/');
        }
        paths.extend_from_slice(format!("{}\n", file.number).as_bytes());
    }
    let mut args = vec!["hash-object", "-w", "--stdin-paths"];
    args.extend(flags);
    let oids = git.fed(&args, paths)?;
    let oids = String::from_utf8_lossy(&oids).into_owned();
    let oids: Vec<_> = oids.lines().map(str::to_owned).collect();
    if oids.len() != files.len() {
        return Err(GitError::Unexpected {
            command: "hash-object",
            what: "it named other objects than it was given".to_owned(),
        });
    }
    Ok(files.iter().map(|file| file.number).zip(oids).collect())
}

/// Objects by path, as `ls-tree` and `ls-files -s` tell them.
fn listed(
    git: &Git,
    command: &[&str],
    paths: &[&RepoPath],
) -> Result<BTreeMap<RepoPath, Oid>, GitError> {
    let found = words(git, command, paths)?.into_iter();
    let found = found.filter_map(|(path, words)| {
        let oid = words.into_iter().find(|word| crate::is_oid(word))?;
        Some((path, oid))
    });
    Ok(found.collect())
}

/// Output of these commands, as the words of each path.
fn words(
    git: &Git,
    command: &[&str],
    paths: &[&RepoPath],
) -> Result<BTreeMap<RepoPath, Vec<String>>, GitError> {
    let mut found = BTreeMap::new();
    for paths in paths.chunks(FEW) {
        let args = command.iter().map(OsString::from);
        let args = args.chain(["--".into()]);
        let args: Vec<_> = args
            .chain(
                paths
                    .iter()
                    .map(|path| as_path(path).as_os_str().to_owned()),
            )
            .collect();
        let listing = git.output(&args)?;
        let entries = listing.split(|byte| *byte == 0).filter_map(|entry| {
            let (words, path) = split_once(entry, b'\t')?;
            let words = std::str::from_utf8(words).ok()?.split(' ');
            Some((path.to_vec(), words.map(str::to_owned).collect()))
        });
        found.extend(entries);
    }
    Ok(found)
}

/// All paths, when they are few enough for a command line.
fn few(returned: &Returned) -> Option<Vec<OsString>> {
    let files = returned.files().iter().map(|file| &file.path);
    let paths: Vec<_> = files.chain(returned.gone()).take(FEW + 1).collect();
    let bytes: usize = paths.iter().map(|path| path.len()).sum();
    let as_word = |path: &&RepoPath| as_path(path).as_os_str().to_owned();
    (paths.len() <= FEW && bytes <= FEW_BYTES).then(|| paths.iter().map(as_word).collect())
}

/// A line of `git update-index --index-info`.
fn entry(entries: &mut Vec<u8>, mode: u32, oid: &str, path: &[u8]) {
    entries.extend_from_slice(format!("{mode:o} {oid}\t").as_bytes());
    entries.extend_from_slice(path);
    entries.push(0);
}
