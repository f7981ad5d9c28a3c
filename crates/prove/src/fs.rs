//! Simulated files: their state in a running system, and their state after a power cut.
//!
//! ```text
//!          now                         kept
//! file     content      ──sync_file──► content      (else: older content, or torn)
//! dir      name ► inode ──sync_dir───► name ► inode (else: the older entry, or the newer, at random)
//! ```
//!
//! Stricter than any one file system: entries reach the disk in any order. As everywhere, a rename is atomic: a moved
//! file is afterwards at its old place or its new one, never missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use banger_api::{ApiError, ErrorCode};
use banger_ops::HostResult;

use crate::random::Random;

/// Content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// All of this content.
    Whole(u64),
    /// A part of a content.
    Torn,
}

/// Fate of unsynced changes at a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All are lost: everything is as it was last synced.
    All,
    /// Names are kept, contents are lost.
    Contents,
    /// Any mixture is kept.
    Mixed,
}

type Inode = usize;
type Entries = BTreeMap<String, Inode>;

#[derive(Debug, Clone)]
enum Node {
    File {
        now: Content,
        kept: Option<Content>,
        len: u64,
    },
    Dir {
        now: Entries,
        kept: Entries,
    },
}

/// The files of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    nodes: Vec<Node>,
    /// Number of files that fit; each counts one.
    pub(crate) capacity: usize,
}

const ROOT: Inode = 0;

fn error(attempt: &str, path: &Path, why: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("cannot {attempt} {}: {why}", path.display()),
    )
}

fn names(path: &Path) -> Vec<String> {
    let normal = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    normal.collect()
}

impl Files {
    pub(crate) fn new() -> Self {
        let root = Node::Dir {
            now: Entries::new(),
            kept: Entries::new(),
        };
        Self {
            nodes: vec![root],
            capacity: usize::MAX,
        }
    }

    fn entries(&self, dir: Inode) -> Option<&Entries> {
        match self.nodes.get(dir) {
            Some(Node::Dir { now, .. }) => Some(now),
            _ => None,
        }
    }

    fn find(&self, path: &Path) -> Option<Inode> {
        let mut at = ROOT;
        for name in names(path) {
            at = *self.entries(at)?.get(&name)?;
        }
        Some(at)
    }

    fn place(&mut self, attempt: &str, path: &Path) -> HostResult<(&mut Entries, String)> {
        let mut parts = names(path);
        let name = parts
            .pop()
            .ok_or_else(|| error(attempt, path, "it is the root"))?;
        let dir: PathBuf = std::iter::once("/".to_owned()).chain(parts).collect();
        match self.find(&dir).and_then(|at| self.nodes.get_mut(at)) {
            Some(Node::Dir { now, .. }) => Ok((now, name)),
            _ => Err(error(attempt, path, "no such directory")),
        }
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.find(path).is_some()
    }

    pub(crate) fn file(&self, path: &Path) -> Option<(Content, u64)> {
        match self.nodes.get(self.find(path)?) {
            Some(Node::File { now, len, .. }) => Some((*now, *len)),
            _ => None,
        }
    }

    /// Names in a directory; none if it does not exist.
    pub(crate) fn list(&self, path: &Path) -> Vec<PathBuf> {
        let entries = self.find(path).and_then(|at| self.entries(at));
        let names = entries.into_iter().flat_map(|entries| entries.keys());
        names.map(|name| path.join(name)).collect()
    }

    /// Names in a directory that exist, or that may exist after a power cut.
    pub(crate) fn list_possible(&self, path: &Path) -> BTreeSet<PathBuf> {
        let Some(Node::Dir { now, kept }) = self.find(path).and_then(|at| self.nodes.get(at))
        else {
            return BTreeSet::new();
        };
        now.keys()
            .chain(kept.keys())
            .map(|name| path.join(name))
            .collect()
    }

    pub(crate) fn make_dir(&mut self, path: &Path) -> HostResult<()> {
        if let Some(at) = self.find(path) {
            return match self.entries(at) {
                Some(_) => Ok(()),
                None => Err(error("make directory", path, "a file is there")),
            };
        }
        let made = self.nodes.len();
        let (entries, name) = self.place("make directory", path)?;
        entries.insert(name, made);
        self.nodes.push(Node::Dir {
            now: Entries::new(),
            kept: Entries::new(),
        });
        Ok(())
    }

    fn count(&self, dir: Inode) -> usize {
        let entries = self.entries(dir).into_iter().flat_map(|e| e.values());
        entries
            .map(|at| match self.nodes.get(*at) {
                Some(Node::Dir { .. }) => self.count(*at),
                _ => 1,
            })
            .sum()
    }

    /// Number of files.
    pub(crate) fn used(&self) -> usize {
        self.count(ROOT)
    }

    /// Writes a file, new or over an old one. A full disk keeps a part of it.
    pub(crate) fn write(&mut self, path: &Path, content: Content, bytes: u64) -> HostResult<()> {
        let present = self.find(path);
        // An existing file has its room already.
        let full =
            present.is_none() && self.capacity != usize::MAX && self.count(ROOT) >= self.capacity;
        let content = if full { Content::Torn } else { content };
        match present.and_then(|at| self.nodes.get_mut(at)) {
            Some(Node::File { now, len, .. }) => (*now, *len) = (content, bytes),
            Some(Node::Dir { .. }) => return Err(error("write", path, "a directory is there")),
            None => {
                let made = self.nodes.len();
                let (entries, name) = self.place("write", path)?;
                entries.insert(name, made);
                self.nodes.push(Node::File {
                    now: content,
                    kept: None,
                    len: bytes,
                });
            }
        }
        if full {
            let message = format!("cannot write {}: no space left", path.display());
            return Err(ApiError::new(ErrorCode::NoSpace, message));
        }
        Ok(())
    }

    pub(crate) fn grow(&mut self, path: &Path, bytes: u64) -> HostResult<()> {
        match self.find(path).and_then(|at| self.nodes.get_mut(at)) {
            Some(Node::File { len, .. }) => {
                *len = (*len).max(bytes);
                Ok(())
            }
            _ => Err(error("grow", path, "no such file")),
        }
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> HostResult<()> {
        let Some(at) = self.find(path) else {
            return Ok(());
        };
        if self.entries(at).is_some() {
            return Err(error("remove", path, "it is a directory"));
        }
        let (entries, name) = self.place("remove", path)?;
        entries.remove(&name);
        Ok(())
    }

    /// Removes a directory and all in it. If it is cut off half-way, half of its entries remain.
    pub(crate) fn remove_tree(&mut self, path: &Path, half: bool) -> HostResult<()> {
        let inside = self.list(path);
        if half && !inside.is_empty() {
            for child in inside.iter().take(inside.len().div_ceil(2)) {
                self.remove_tree(child, false)?;
            }
            return Ok(());
        }
        // An emptied directory leaves entries that may come back with it.
        for child in inside {
            self.remove_tree(&child, false)?;
        }
        if self.exists(path) {
            let (entries, name) = self.place("remove", path)?;
            entries.remove(&name);
        }
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> HostResult<()> {
        let moved = self
            .find(from)
            .ok_or_else(|| error("move", from, "no such file or directory"))?;
        if let Some(at) = self.find(to)
            && self.entries(at).is_some_and(|inside| !inside.is_empty())
        {
            return Err(error("move to", to, "directory not empty"));
        }
        let (entries, name) = self.place("move to", to)?;
        entries.insert(name, moved);
        let (entries, name) = self.place("move", from)?;
        entries.remove(&name);
        Ok(())
    }

    /// Gives a file a second name, in the place of a file that is there.
    pub(crate) fn link(&mut self, from: &Path, to: &Path) -> HostResult<()> {
        let linked = self.find(from).filter(|at| self.entries(*at).is_none());
        let linked = linked.ok_or_else(|| error("link", from, "no such file"))?;
        let full = self.capacity != usize::MAX && self.count(ROOT) >= self.capacity;
        if full {
            let message = format!("cannot link {}: no space left", to.display());
            return Err(ApiError::new(ErrorCode::NoSpace, message));
        }
        let (entries, name) = self.place("link to", to)?;
        entries.insert(name, linked);
        Ok(())
    }

    /// Number of names that a file has.
    pub(crate) fn links(&self, path: &Path) -> usize {
        let Some(wanted) = self.find(path) else {
            return 0;
        };
        let mut found = 0;
        let mut dirs = vec![ROOT];
        while let Some(dir) = dirs.pop() {
            for at in self
                .entries(dir)
                .into_iter()
                .flat_map(|names| names.values())
            {
                if *at == wanted {
                    found += 1;
                } else if self.entries(*at).is_some() {
                    dirs.push(*at);
                }
            }
        }
        found
    }

    pub(crate) fn sync_file(&mut self, path: &Path) -> HostResult<()> {
        match self.find(path).and_then(|at| self.nodes.get_mut(at)) {
            Some(Node::File { now, kept, .. }) => *kept = Some(*now),
            Some(Node::Dir { now, kept }) => kept.clone_from(now),
            None => return Err(error("sync", path, "no such file")),
        }
        Ok(())
    }

    /// Makes the entries of a directory durable. A removed one needs nothing.
    pub(crate) fn sync_dir(&mut self, path: &Path) {
        if let Some(Node::Dir { now, kept }) = self.find(path).and_then(|at| self.nodes.get_mut(at))
        {
            kept.clone_from(now);
        }
    }

    /// Makes everything below `path` durable.
    pub(crate) fn sync_tree(&mut self, path: &Path) -> HostResult<()> {
        for child in self.list(path) {
            self.sync_tree(&child)?;
        }
        self.sync_file(path)
    }

    /// Replaces the files by those that remain after a power cut.
    pub(crate) fn power_cut(&mut self, loss: Loss, random: &mut Random) {
        let (places_now, places_kept) = (self.places(false), self.places(true));
        let mut chosen: BTreeMap<Inode, Entries> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let Node::Dir { now, kept } = node else {
                continue;
            };
            let mut left = Entries::new();
            for name in now.keys().chain(kept.keys()).collect::<BTreeSet<_>>() {
                let newer = match loss {
                    Loss::All => false,
                    Loss::Contents => true,
                    Loss::Mixed => random.chance(1, 2),
                };
                let entry = if newer { now.get(name) } else { kept.get(name) };
                if let Some(inode) = entry {
                    left.insert(name.clone(), *inode);
                }
            }
            chosen.insert(at, left);
        }
        // A rename is atomic: a moved file has one place, the old one unless the choice above says otherwise. One with several names
        // was not moved: each of them is kept or not by itself.
        for (inode, new) in &places_now {
            let (Some(old), [new]) = (places_kept.get(inode), new.as_slice()) else {
                continue;
            };
            let [old] = old.as_slice() else { continue };
            if old == new {
                continue;
            }
            let at = |chosen: &BTreeMap<Inode, Entries>, place: &(Inode, String)| {
                chosen
                    .get(&place.0)
                    .is_some_and(|e| e.get(&place.1) == Some(inode))
            };
            match (at(&chosen, old), at(&chosen, new)) {
                (true, true) => {
                    chosen.entry(old.0).or_default().remove(&old.1);
                }
                (false, false) => {
                    chosen
                        .entry(old.0)
                        .or_default()
                        .insert(old.1.clone(), *inode);
                }
                _ => {}
            }
        }
        for (at, node) in self.nodes.iter_mut().enumerate() {
            match node {
                Node::Dir { now, kept } => {
                    *now = chosen.remove(&at).unwrap_or_default();
                    kept.clone_from(now);
                }
                Node::File { now, kept, .. } if *kept != Some(*now) => {
                    *now = match (loss, random.below(3)) {
                        (Loss::All, _) | (Loss::Mixed, 0) => kept.unwrap_or(Content::Torn),
                        (Loss::Mixed, 1) => *now,
                        _ => Content::Torn,
                    };
                    *kept = Some(*now);
                }
                Node::File { .. } => {}
            }
        }
    }

    /// Places of each inode: directories and names.
    fn places(&self, of_kept: bool) -> BTreeMap<Inode, Vec<(Inode, String)>> {
        let mut places: BTreeMap<Inode, Vec<(Inode, String)>> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if let Node::Dir { now, kept } = node {
                let entries = if of_kept { kept } else { now };
                for (name, inode) in entries {
                    places.entry(*inode).or_default().push((at, name.clone()));
                }
            }
        }
        places
    }
}
