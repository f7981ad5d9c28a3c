//! The guest's repository, made from the host's without touching it: new objects go to a folder of our own.
//!
//! ```text
//! index ─ copy ─► + changed files ─► write-tree ─► the tree as it is sent ─┐
//! HEAD ─ by breadth, to the depth ─► commits, where history is cut ────────┼─► pack-objects ─► one pack
//! tags at these commits ───────────────────────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use crate::error::WorkspaceError;
use crate::git::Git;
use crate::pack::{self, Contents, History, Pack};
use crate::repository::Oid;
use crate::root::{Kind, Root};
use crate::survey::{Depth, Part, Source, Survey};

/// Bytes of objects that are in no commit and are kept on the host all the same: with more, the guest's git compares.
const MAX_OWN: u64 = 64 << 20;

/// The guest's present state of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Known {
    /// The commit that was checked out.
    pub commit: Option<Oid>,
    /// The tree that was sent.
    pub tree: Oid,
    /// Commits at which its history is cut.
    pub shallow: Vec<Oid>,
}

/// One repository, ready to be written into a guest.
#[derive(Debug)]
pub struct Composed {
    /// The tree of the files as they are sent, uncommitted changes included.
    pub tree: Oid,
    /// Commits to send, and the cuts in history.
    pub history: History,
    /// Refs beside the branch, with the commit that an annotated tag stands for.
    pub refs: BTreeMap<String, (Oid, Option<Oid>)>,
    /// The objects; none when the guest has them all.
    pub pack: Option<Pack>,
    /// Objects of the tree that the commit lacks, so that returned files can be compared with it here; `None` when
    /// there are none, or too many.
    pub own: Option<Vec<u8>>,
}

/// Composes every repository of a survey. Objects that the guest already has (`known`, by prefix) are left out.
///
/// # Errors
/// git's own, and those of files.
pub fn compose(
    survey: &Survey,
    known: &BTreeMap<Vec<u8>, Known>,
) -> Result<Vec<Composed>, WorkspaceError> {
    let one = |part: &Part| {
        let folder = tempfile::Builder::new().prefix("banger-pack-").tempdir();
        let folder = folder.map_err(WorkspaceError::file(
            "make a folder in",
            std::env::temp_dir(),
        ))?;
        part.compose(survey, known.get(&part.prefix), folder.path())
    };
    survey.parts.iter().map(one).collect()
}

impl Part {
    fn compose(
        &self,
        survey: &Survey,
        known: Option<&Known>,
        folder: &Path,
    ) -> Result<Composed, WorkspaceError> {
        let objects = folder.join("objects");
        std::fs::create_dir(&objects).map_err(WorkspaceError::file("make", &objects))?;
        let repository = &self.repository;
        // Real objects stay where they are; new ones go to the folder.
        let git = repository
            .git
            .clone()
            .set("core.safecrlf", "false")
            .env("GIT_OBJECT_DIRECTORY", &objects)
            .env(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                alternate(&repository.dirs.common.join("objects")),
            );
        let tree = self.sent_tree(&git, folder, survey.wanted.include_untracked)?;
        let mut history = pack::history(repository, self.commit.as_ref(), survey.wanted.depth)?;
        let refs = self.refs(&history, survey.wanted.depth)?;
        let known = known.filter(|known| self.has(known));
        if let Some(known) = known {
            history.shallow.extend(known.shallow.iter().cloned());
        }
        let staged = self
            .tracked
            .iter()
            .filter(|tracked| !self.is_as_indexed(&tracked.path));
        let mut contents = Contents {
            shallow: history.shallow.clone(),
            is_promised: history.is_promised,
            ..Contents::default()
        };
        contents.tips.extend(self.commit.as_deref());
        contents.tips.push(&tree);
        contents.tips.extend(
            staged
                .filter(|tracked| self.goes(tracked))
                .map(|tracked| tracked.oid.as_str()),
        );
        contents
            .tips
            .extend(refs.values().map(|(oid, _)| oid.as_str()));
        // Of a commit by itself git takes only the commit out, not its tree.
        let trees: Vec<_> = known
            .into_iter()
            .flat_map(|known| &known.commit)
            .map(tree_of)
            .collect();
        if let Some(known) = known {
            contents.without.extend(known.commit.as_deref());
            contents.without.extend(trees.iter().map(String::as_str));
        }
        let pack = pack::make(&git, folder, &contents)?;
        let own = self.own_objects(&git, folder, &tree, history.is_promised)?;
        Ok(Composed {
            tree,
            history,
            refs,
            pack,
            own,
        })
    }

    /// Objects of the tree that are in no commit, as a pack.
    fn own_objects(
        &self,
        git: &Git,
        folder: &Path,
        tree: &str,
        is_promised: bool,
    ) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let committed = self.commit.as_ref().map(tree_of);
        let contents = Contents {
            tips: vec![tree],
            without: committed.as_deref().into_iter().collect(),
            is_promised,
            ..Contents::default()
        };
        if matches!(self.source, Source::Commit(_)) {
            return Ok(None);
        }
        let Some(mut pack) = pack::make(git, folder, &contents)? else {
            return Ok(None);
        };
        let lost = WorkspaceError::file("read", folder);
        let mut bytes = Vec::new();
        let read = (&mut pack.pack).take(MAX_OWN + 1).read_to_end(&mut bytes);
        match read {
            Ok(len) if len as u64 > MAX_OWN => Ok(None),
            Ok(_) => Ok(Some(bytes)),
            Err(error) => Err(lost(error)),
        }
    }

    /// True when the host still has the guest's commit: history may have been rewritten and cleaned up since.
    fn has(&self, known: &Known) -> bool {
        known
            .commit
            .as_ref()
            .is_none_or(|commit| self.repository.commit(commit).is_ok())
    }

    /// The tree of the files as they are on this host.
    fn sent_tree(&self, git: &Git, folder: &Path, untracked: bool) -> Result<Oid, WorkspaceError> {
        if let Source::Commit(commit) = &self.source {
            let tree = git.output(&["rev-parse", &format!("{commit}^{{tree}}")])?;
            return Ok(String::from_utf8_lossy(&tree).trim().to_owned());
        }
        let index = folder.join("index");
        let own = self.repository.dirs.dir.join("index");
        match std::fs::copy(&own, &index) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(WorkspaceError::file("read", own)(error)),
        }
        let git = git.clone().env("GIT_INDEX_FILE", &index);
        self.show_hidden(&git)?;
        let root = Root::open(self.repository.top())?;
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        let untracked = self.untracked.iter().filter(|_| untracked);
        let doubtful: BTreeSet<_> = self.changed.iter().chain(&self.hidden).collect();
        for path in doubtful.into_iter().chain(untracked) {
            let list = match root.kind(path)? {
                Kind::File | Kind::Link => &mut there,
                Kind::Directory | Kind::Other | Kind::Absent => &mut gone,
            };
            list.extend_from_slice(path);
            list.push(0);
        }
        if !gone.is_empty() {
            git.fed(&["update-index", "-z", "--force-remove", "--stdin"], gone)?;
        }
        if !there.is_empty() {
            git.fed(
                &["update-index", "-z", "--add", "--replace", "--stdin"],
                there,
            )?;
        }
        let tree = git.output(&["write-tree", "--missing-ok"])?;
        Ok(String::from_utf8_lossy(&tree).trim().to_owned())
    }

    /// Has git look at files that it was told not to look at, in an index of our own.
    fn show_hidden(&self, git: &Git) -> Result<(), WorkspaceError> {
        if self.hidden.is_empty() {
            return Ok(());
        }
        let paths = self
            .hidden
            .iter()
            .flat_map(|path| [&path[..], b"\0"].concat());
        let paths: Vec<_> = paths.collect();
        for flag in ["--no-skip-worktree", "--no-assume-unchanged"] {
            git.fed(&["update-index", "-z", flag, "--stdin"], paths.clone())?;
        }
        Ok(())
    }

    /// Tags at the commits to send, and the last known commit of the branch at its origin.
    fn refs(
        &self,
        history: &History,
        depth: Depth,
    ) -> Result<BTreeMap<String, (Oid, Option<Oid>)>, WorkspaceError> {
        let mut refs = BTreeMap::new();
        let Some(commit) = &self.commit else {
            return Ok(refs);
        };
        let merged = format!("--merged={commit}");
        let mut args = vec![
            "for-each-ref",
            "--format=%(objectname) %(*objectname) %(refname)",
        ];
        if depth == Depth::Full {
            args.push(&merged);
        }
        let tracking = self
            .branch
            .as_ref()
            .map(|branch| format!("refs/remotes/origin/{branch}"));
        args.push("refs/tags");
        args.extend(tracking.as_deref());
        let listing = self.repository.git.output(&args)?;
        for line in String::from_utf8_lossy(&listing).lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(oid), Some(peeled), Some(name)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let stands_for = if peeled.is_empty() { oid } else { peeled };
            let goes = history
                .commits
                .as_ref()
                .is_none_or(|commits| commits.contains(stands_for));
            // A name that is not UTF-8 was changed on its way into this text.
            if goes && !name.contains(char::REPLACEMENT_CHARACTER) {
                let peeled = (!peeled.is_empty()).then(|| peeled.to_owned());
                refs.insert(name.to_owned(), (oid.to_owned(), peeled));
            }
        }
        Ok(refs)
    }
}

/// A commit's tree, as git reads it.
fn tree_of(commit: &Oid) -> String {
    format!("{commit}^{{tree}}")
}

/// A path as `GIT_ALTERNATE_OBJECT_DIRECTORIES` wants it: quoted, because colons separate entries there (git(1)).
pub(crate) fn alternate(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = path.as_os_str().as_bytes();
    let mut quoted = vec![b'"'];
    for byte in bytes {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            b'\n' => quoted.extend(*b"\\n"),
            _ => quoted.push(*byte),
        }
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}
