//! The objects that a guest needs, as one pack of the host's git, and the commits at which history is cut.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use crate::error::{GitError, WorkspaceError};
use crate::git::Git;
use crate::repository::{Oid, Repository};
use crate::survey::Depth;

/// Largest commit object that is read, in bytes.
const MAX_COMMIT: u64 = 16 << 20;

/// A pack and its index. Their files have no names.
#[derive(Debug)]
pub struct Pack {
    /// The name that git gave it: its files are `pack-NAME.pack` and `.idx`.
    pub name: String,
    /// The pack.
    pub pack: File,
    /// Its index.
    pub index: File,
}

/// The history to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Commits whose parents are not sent; the guest's git must know them as shallow.
    pub shallow: BTreeSet<Oid>,
    /// All commits to send; `None` when all history is sent.
    pub commits: Option<BTreeSet<Oid>>,
    /// True when files of the newest commit are missing here that a remote has (partial clone with a sparse checkout).
    pub is_promised: bool,
}

/// Content of a pack to make.
#[derive(Debug, Default)]
pub struct Contents<'a> {
    /// Objects with all that they lead to.
    pub tips: Vec<&'a str>,
    /// Objects that the guest has, with all that they lead to.
    pub without: Vec<&'a str>,
    /// Commits at which history is cut.
    pub shallow: BTreeSet<Oid>,
    /// Leaves out objects that a remote has and this repository lacks.
    pub is_promised: bool,
}

/// Commits of the wanted depth, by breadth: as `git clone --depth` counts. In a partial clone history is cut before the
/// first commit of which a file is missing here, for nothing is fetched.
pub(crate) fn history(
    repository: &Repository,
    tip: Option<&Oid>,
    depth: Depth,
) -> Result<History, WorkspaceError> {
    let own = repository.own_shallow()?;
    let is_partial = repository.config.is_partial();
    let depth = match depth {
        Depth::Full if is_partial => Depth::Commits(u32::MAX),
        depth => depth,
    };
    let (Some(tip), Depth::Commits(depth)) = (tip, depth) else {
        return Ok(History {
            shallow: own,
            ..History::default()
        });
    };
    let is_whole = |commit: &Oid| match is_partial {
        true => is_whole(&repository.git, commit),
        false => Ok(true),
    };
    let mut objects = Objects::open(&repository.git)?;
    let mut history = History {
        is_promised: !is_whole(tip)?,
        ..History::default()
    };
    let mut commits = BTreeSet::new();
    let mut level = BTreeSet::from([tip.clone()]);
    for n in 1..=depth.max(1) {
        let mut next = BTreeSet::new();
        for commit in &level {
            commits.insert(commit.clone());
            let parents = objects.parents(commit)?;
            let mut cut = own.contains(commit) || (n == depth.max(1) && !parents.is_empty());
            for parent in parents.iter().filter(|_| is_partial) {
                cut = cut || !is_whole(parent)?;
            }
            if cut {
                history.shallow.insert(commit.clone());
            } else {
                next.extend(parents);
            }
        }
        if next.is_empty() {
            break;
        }
        level = next
            .into_iter()
            .filter(|commit| !commits.contains(commit))
            .collect();
    }
    // A commit that was reached by a longer way first, as a parent of one that is cut, is whole all the same.
    history.commits = Some(commits);
    Ok(history)
}

/// Tells whether all files of a commit are here.
fn is_whole(git: &Git, commit: &str) -> Result<bool, WorkspaceError> {
    let tree = format!("{commit}^{{tree}}");
    let args = [
        "rev-list",
        "--objects",
        "--missing=print",
        "--no-object-names",
        &tree,
    ];
    let listing = match git.output(&args) {
        // Its tree is missing as well.
        Err(GitError::Failed { .. }) => return Ok(false),
        other => other?,
    };
    let mut lines = listing.split(|byte| *byte == b'\n');
    Ok(!lines.any(|line| line.starts_with(b"?")))
}

/// Writes a pack into `folder` and takes it over. `None`: there is nothing to send.
pub(crate) fn make(
    git: &Git,
    folder: &Path,
    contents: &Contents<'_>,
) -> Result<Option<Pack>, WorkspaceError> {
    let mut wanted = String::new();
    for commit in &contents.shallow {
        wanted.push_str(&format!("--shallow {commit}\n"));
    }
    for tip in &contents.tips {
        wanted.push_str(&format!("{tip}\n"));
    }
    for known in &contents.without {
        wanted.push_str(&format!("^{known}\n"));
    }
    let base = folder.join("pack");
    let base = base.as_os_str();
    // No search for new deltas: objects that the host has packed are taken over, and time counts more than bytes here.
    let args = [
        "pack-objects",
        "--revs",
        "--non-empty",
        "--delta-base-offset",
        "--window=0",
        "-q",
    ];
    let promised = contents.is_promised.then_some("--missing=allow-promisor");
    let args = args.into_iter().chain(promised).map(std::ffi::OsStr::new);
    let args: Vec<_> = args.chain([base]).collect();
    let name = git.fed(&args, wanted.into_bytes())?;
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    if name.is_empty() {
        return Ok(None);
    }
    let take = |extension: &str| {
        let path = folder.join(format!("pack-{name}.{extension}"));
        let file = File::open(&path).map_err(WorkspaceError::file("open", &path))?;
        std::fs::remove_file(&path).map_err(WorkspaceError::file("remove", &path))?;
        Ok::<_, WorkspaceError>(file)
    };
    let (pack, index) = (take("pack")?, take("idx")?);
    Ok(Some(Pack { name, pack, index }))
}

/// Objects of a repository, through one `git cat-file --batch`.
pub(crate) struct Objects {
    child: std::process::Child,
    to: std::process::ChildStdin,
    from: BufReader<std::process::ChildStdout>,
    parents: HashMap<Oid, Vec<Oid>>,
}

impl Objects {
    pub(crate) fn open(git: &Git) -> Result<Self, GitError> {
        let mut child = git.start(&["cat-file", "--batch"])?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = pipes else {
            return Err(unexpected("it has no pipes".to_owned()));
        };
        Ok(Self {
            child,
            to,
            from: BufReader::new(from),
            parents: HashMap::new(),
        })
    }

    /// An object's kind and size; its content follows, then one byte.
    fn header(&mut self, oid: &str) -> Result<(String, u64), GitError> {
        let lost = |source| GitError::Lost {
            command: "cat-file".to_owned(),
            source,
        };
        self.to
            .write_all(format!("{oid}\n").as_bytes())
            .map_err(lost)?;
        self.to.flush().map_err(lost)?;
        let mut line = String::new();
        (&mut self.from)
            .take(4096)
            .read_line(&mut line)
            .map_err(lost)?;
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [_, kind, size] => match size.parse() {
                Ok(size) => Ok((kind.to_owned(), size)),
                Err(_not_a_number) => Err(unexpected(line.clone())),
            },
            _ => Err(unexpected(format!("object {oid} is missing"))),
        }
    }

    fn parents(&mut self, commit: &str) -> Result<Vec<Oid>, GitError> {
        if let Some(parents) = self.parents.get(commit) {
            return Ok(parents.clone());
        }
        let (kind, size) = self.header(commit)?;
        if kind != "commit" || size > MAX_COMMIT {
            return Err(unexpected(format!("{commit} is a {kind} of {size} bytes")));
        }
        let mut text = Vec::new();
        self.content(size, &mut text)?;
        let head = text
            .split(|byte| *byte == b'\n')
            .take_while(|line| !line.is_empty());
        let parents: Vec<_> = head
            .filter_map(|line| line.strip_prefix(b"parent "))
            .map(|oid| String::from_utf8_lossy(oid).into_owned())
            .collect();
        self.parents.insert(commit.to_owned(), parents.clone());
        Ok(parents)
    }

    /// The size of a blob whose content [`Self::content`] gives next.
    pub(crate) fn blob(&mut self, oid: &str) -> Result<u64, GitError> {
        match self.header(oid)? {
            (kind, size) if kind == "blob" => Ok(size),
            (kind, _) => Err(unexpected(format!("{oid} is a {kind}"))),
        }
    }

    /// Writes the content of the object whose header was just read.
    pub(crate) fn content(&mut self, size: u64, to: &mut impl Write) -> Result<(), GitError> {
        let lost = |source| GitError::Lost {
            command: "cat-file".to_owned(),
            source,
        };
        let copied = std::io::copy(&mut (&mut self.from).take(size), to).map_err(lost)?;
        if copied != size {
            return Err(unexpected("it ended in the middle of an object".to_owned()));
        }
        self.from.read_exact(&mut [0]).map_err(lost)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It only reads: whether it ends by itself or by this makes no difference.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unexpected(what: String) -> GitError {
    GitError::Unexpected {
        command: "cat-file",
        what,
    }
}
