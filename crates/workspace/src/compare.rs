//! What came back, beside what was sent: one patch, made by the host's git without touching the host's repository.
//!
//! ```text
//! objects kept with the record ─ unpack ─┐
//! tree as it was sent ─ read-tree, when ──┴► index of our own ─ + contents, names ─► diff-index ─► patch
//!                       much has changed
//! ```
//!
//! Contents go in as they are: no filter, no conversion, no attribute of the guest's. New objects go to a folder that is
//! gone afterwards.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::compose::alternate;
use crate::error::{GitError, WorkspaceError};
use crate::export::{Base, DIFF, SETTINGS};
use crate::git::Git;
use crate::record::Record;
use crate::returned::Returned;
use crate::survey::as_path;
use crate::tracked::RepoPath;

/// Paths, and their bytes together, that are named to git one by one.
const FEW: usize = 256;
const FEW_BYTES: usize = 32 * 1024;

/// One repository as it was sent, ready to be compared with.
#[derive(Debug)]
pub struct Comparison {
    git: Git,
    /// As it was sent.
    tree: String,
    base: String,
    prefix: String,
    _folder: tempfile::TempDir,
}

impl Comparison {
    /// Makes the tree of what was sent. `part` is named as in [`crate::Head::parts`].
    ///
    /// # Errors
    /// The host's repository is not there any more, or has not the objects; the base is a commit that it has not.
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
        let base =
            match base {
                Base::Other(oid) if part.is_empty() => oid.clone(),
                Base::Commit if part.is_empty() => sent.known.commit.clone().ok_or_else(|| {
                    WorkspaceError::Asked("what was sent has no commit".to_owned())
                })?,
                _ => sent.known.tree.clone(),
            };
        let folder = tempfile::Builder::new().prefix("banger-compare-").tempdir();
        let folder = folder.map_err(WorkspaceError::file(
            "make a folder in",
            std::env::temp_dir(),
        ))?;
        let objects = folder.path().join("objects");
        std::fs::create_dir(&objects).map_err(WorkspaceError::file("make", &objects))?;
        let git = Git::new(&top);
        let own = git.line(&["rev-parse", "--git-path", "objects"])?;
        let own = own.map_or_else(|| top.clone(), |path| top.join(path));
        let git = SETTINGS
            .iter()
            .fold(git, |git, (key, value)| git.set(*key, *value))
            .env("GIT_OBJECT_DIRECTORY", &objects)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternate(&own))
            .env("GIT_INDEX_FILE", folder.path().join("index"));
        if let Some(pack) = record.packs.get(part) {
            git.fed(&["unpack-objects", "-q"], pack.clone())?;
        }
        Ok(Self {
            git: git.env("GIT_LITERAL_PATHSPECS", "1"),
            tree: sent.known.tree.clone(),
            base,
            prefix,
            _folder: folder,
        })
    }

    /// The patch from there to what came back.
    ///
    /// # Errors
    /// git's own.
    pub fn patch(&self, returned: &Returned) -> Result<Vec<u8>, GitError> {
        // Of a few paths alone git need not know the other files: an index of twenty thousand is read and written twice.
        let few = few(returned).filter(|_| self.base == self.tree);
        if few.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        if few.is_none() {
            self.git.output(&["read-tree", &self.tree])?;
        }
        self.take(returned)?;
        let mut args = vec!["diff-index".to_owned(), "--cached".to_owned()];
        args.extend(DIFF.split_whitespace().map(str::to_owned));
        args.push(format!("--src-prefix=a/{}", self.prefix));
        args.push(format!("--dst-prefix=b/{}", self.prefix));
        args.extend([self.base.clone(), "--".to_owned()]);
        let mut args: Vec<_> = args.into_iter().map(OsString::from).collect();
        args.extend(few.unwrap_or_default());
        self.git.output(&args)
    }

    fn take(&self, returned: &Returned) -> Result<(), GitError> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut paths = Vec::new();
        for path in returned.contents() {
            paths.extend_from_slice(path.as_os_str().as_bytes());
            paths.push(b'\n');
        }
        let mut oids = Vec::new();
        if !paths.is_empty() {
            let args = ["hash-object", "-w", "--no-filters", "--stdin-paths"];
            oids = self.git.fed(&args, paths)?;
        }
        let oids = String::from_utf8_lossy(&oids);
        let oids: Vec<_> = oids.lines().collect();
        if oids.len() != returned.files().len() {
            return Err(GitError::Unexpected {
                command: "hash-object",
                what: "it named other objects than it was given".to_owned(),
            });
        }
        let mut entries = Vec::new();
        let nothing = "0".repeat(self.git_oid_len());
        for path in returned.gone() {
            entry(&mut entries, 0, &nothing, path);
        }
        for ((mode, path), oid) in returned.files().iter().zip(oids) {
            entry(&mut entries, *mode, oid, path);
        }
        // What is gone comes first, and --replace lets a file take a directory's place and the other way round.
        let args = ["update-index", "-z", "--add", "--replace", "--index-info"];
        self.git.fed(&args, entries).map(drop)
    }

    /// Digits of an object's name: those of the base.
    fn git_oid_len(&self) -> usize {
        self.base.len()
    }
}

/// All paths, when they are few enough for a command line.
fn few(returned: &Returned) -> Option<Vec<OsString>> {
    let files = returned.files().iter().map(|(_, path)| path);
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
