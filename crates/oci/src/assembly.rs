//! Entries of an archive, one after the other, into a tree.
//!
//! A path is resolved in the tree and nowhere else: a link on the way is followed inside of it, as in a chroot, where
//! `..` never leaves the root. So no name of an archive can reach the host.

use std::collections::HashMap;

use banger_disk::tree::{
    Attributes, MAX_LINKS, NodeId, NodeKind, SourceId, Tree, TreeError, printable,
};

use crate::accounts::{self, Accounts};
use crate::attributes::{Lists, attributes, kind};
use crate::losses::{Loss, Losses};
use crate::names::{MAX_PATH, parts};
use crate::tar::{Entry, EntryKind};

/// Most links that are followed on one path, as in the kernel (path_resolution(7)).
pub(crate) const MAX_HOPS: usize = 40;
/// Directories that an archive uses and does not describe.
pub(crate) const IMPLIED: Attributes = Attributes::root(0o755);

/// Refusal of an entry that cannot be part of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// More `..` than directories before them.
    #[error("its name leads out of the archive")]
    Outside,
    /// It is longer than any path.
    #[error("its name has {len} bytes, at most {MAX_PATH} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A part of its path is neither a directory nor a link to one.
    #[error("\"{path}\" on its way is not a directory")]
    NotADirectory {
        /// The part.
        path: String,
    },
    /// Links on its way lead to each other.
    #[error("more than {MAX_HOPS} links lie on its way")]
    TooManyLinks,
    /// A hard link to nothing.
    #[error("it is a hard link to \"{target}\", which is not there")]
    MissingTarget {
        /// The target.
        target: String,
    },
    /// More entries than are taken.
    #[error("it is one of more than {limit} entries")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// A whiteout of nothing, or of a directory itself.
    #[error("it is a whiteout without a name")]
    Whiteout,
    /// The root must be a directory.
    #[error("it would replace the root directory")]
    ReplacesRoot,
    /// The tree refuses it.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The files of an archive or image, and their losses.
#[derive(Debug)]
pub struct Files {
    /// The tree.
    pub tree: Tree,
    /// Properties that could not be kept.
    pub losses: Losses,
}

/// A tree that takes entries.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) tree: Tree,
    losses: Losses,
    /// Access control lists that wait for the image's accounts.
    lists: Lists,
    /// Copies of files that have as many names as they may have; the newest takes further names.
    copies: HashMap<NodeId, NodeId>,
    /// Nodes below this index are of layers below the one that is added.
    lower: usize,
    /// Entries that may still come, and how many there might be.
    left: u64,
    limit: u64,
}

impl Assembly {
    /// Begins with an empty root directory.
    pub(crate) fn new(limit: u64) -> Result<Self, TreeError> {
        Ok(Self {
            tree: Tree::new(IMPLIED)?,
            losses: Losses::default(),
            lists: Lists::default(),
            copies: HashMap::new(),
            lower: 0,
            left: limit,
            limit,
        })
    }

    /// Counts every entry: one that replaces, hides or repeats others takes no memory, but it takes time.
    pub(crate) fn count(&mut self) -> Result<(), EntryError> {
        let limit = self.limit;
        let left = self.left.checked_sub(1);
        self.left = left.ok_or(EntryError::TooMany { limit })?;
        Ok(())
    }

    /// The tree as it stands.
    pub(crate) fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// Begins a layer: the tree's present content lies below it.
    pub(crate) fn begin_layer(&mut self) {
        self.lower = self.tree.node_capacity();
    }

    /// The finished tree: lists that waited for the image's accounts get them.
    pub(crate) fn finish(mut self) -> Result<Files, TreeError> {
        let lists = std::mem::take(&mut self.lists);
        if !lists.is_empty() {
            let accounts = self.accounts();
            lists.apply(&mut self.tree, &accounts, &mut self.losses)?;
        }
        Ok(Files {
            tree: self.tree,
            losses: self.losses,
        })
    }

    fn accounts(&self) -> Accounts {
        let text = |path: &[u8]| match self.tree.follow(path) {
            Some(node) => accounts::text(&self.tree, node),
            None => String::new(),
        };
        Accounts::new(&text(b"etc/passwd"), &text(b"etc/group"))
    }

    /// Adds `entry`, whose data lie in `source`. A later entry replaces an earlier one with its name; a directory keeps
    /// its content.
    pub(crate) fn add(&mut self, entry: &Entry, source: SourceId) -> Result<(), EntryError> {
        let parts = parts(&entry.path)?;
        let Some((name, parents)) = parts.split_last() else {
            return self.describe_root(entry);
        };
        let parent = self.directory(parents)?;
        if let EntryKind::HardLink(target) = &entry.kind {
            return self.hard_link(parent, name, target);
        }
        let Some(kind) = kind(entry, source, &mut self.losses)? else {
            return Ok(());
        };
        let attributes = attributes(entry, &mut self.losses);
        let existing = self.tree.lookup(parent, name);
        let node = match existing {
            Some(node) if kind.is_directory() && self.tree.node(node).kind.is_directory() => {
                self.tree.set_attributes(node, attributes)?;
                node
            }
            _ => {
                self.tree.remove(parent, name);
                self.tree.insert(parent, name, kind, attributes)?
            }
        };
        self.set_xattrs(node, entry)
    }

    fn set_xattrs(&mut self, node: NodeId, entry: &Entry) -> Result<(), EntryError> {
        let xattrs = self.lists.xattrs(node, entry, &mut self.losses);
        Ok(self.tree.set_xattrs(node, xattrs)?)
    }

    /// The directory at `parts`, made when it is not there; links on the way are followed.
    fn directory(&mut self, parts: &[&[u8]]) -> Result<NodeId, EntryError> {
        match self.walk(parts, Make::Here)? {
            Some(directory) => Ok(directory),
            // Missing directories are made, so none can be absent.
            None => Err(EntryError::TooManyLinks),
        }
    }

    /// The directory at `parts` when all of it is there; links on the way are followed.
    fn existing_directory(&mut self, parts: &[&[u8]]) -> Result<Option<NodeId>, EntryError> {
        self.walk(parts, Make::Nothing)
    }

    fn walk(&mut self, parts: &[&[u8]], make: Make) -> Result<Option<NodeId>, EntryError> {
        let mut at = self.tree.root();
        for (index, &part) in parts.iter().enumerate() {
            at = match self.enter(at, part, make)? {
                Step::Into(directory) => directory,
                Step::Missing => return Ok(None),
                Step::Follow(target) => {
                    let behind = parts[index + 1..].iter().rev().map(|part| part.to_vec());
                    return self.follow(at, &target, behind.collect(), make.behind_a_link());
                }
            };
        }
        Ok(Some(at))
    }

    /// The way through links: `todo` are the parts behind the first one, the next one last.
    fn follow(
        &mut self,
        mut at: NodeId,
        target: &[u8],
        mut todo: Vec<Vec<u8>>,
        make: Make,
    ) -> Result<Option<NodeId>, EntryError> {
        let root = self.tree.root();
        let turn = |todo: &mut Vec<Vec<u8>>, at: &mut NodeId, target: &[u8]| {
            if target.starts_with(b"/") {
                *at = root;
            }
            let parts = target
                .split(|&byte| byte == b'/')
                .filter(|part| !part.is_empty());
            todo.extend(parts.rev().map(<[u8]>::to_vec));
        };
        let mut hops = 1;
        turn(&mut todo, &mut at, target);
        while let Some(part) = todo.pop() {
            match &part[..] {
                b"." => {}
                b".." => at = self.tree.parent(at),
                name => match self.enter(at, name, make)? {
                    Step::Into(directory) => at = directory,
                    Step::Missing => return Ok(None),
                    Step::Follow(target) => {
                        hops += 1;
                        if hops > MAX_HOPS {
                            return Err(EntryError::TooManyLinks);
                        }
                        turn(&mut todo, &mut at, &target);
                    }
                },
            }
        }
        Ok(Some(at))
    }

    fn enter(&mut self, directory: NodeId, name: &[u8], make: Make) -> Result<Step, EntryError> {
        let Some(node) = self.tree.lookup(directory, name) else {
            if make == Make::Nothing {
                return Ok(Step::Missing);
            }
            return Ok(Step::Into(self.tree.insert(
                directory,
                name,
                NodeKind::Directory,
                IMPLIED,
            )?));
        };
        match self.tree.node(node).kind {
            NodeKind::Directory => Ok(Step::Into(node)),
            NodeKind::Symlink(target) => Ok(Step::Follow(target.to_vec())),
            _ if make == Make::Nothing => Ok(Step::Missing),
            // A directory of a layer hides a file of those below.
            _ if make == Make::Here && node.index() < self.lower => {
                self.tree.remove(directory, name);
                self.enter(directory, name, make)
            }
            _ => Err(EntryError::NotADirectory {
                path: self.tree.path_of(node),
            }),
        }
    }

    fn describe_root(&mut self, entry: &Entry) -> Result<(), EntryError> {
        if entry.kind != EntryKind::Directory {
            return Err(EntryError::ReplacesRoot);
        }
        let root = self.tree.root();
        let attributes = attributes(entry, &mut self.losses);
        self.tree.set_attributes(root, attributes)?;
        self.set_xattrs(root, entry)
    }

    fn hard_link(&mut self, parent: NodeId, name: &[u8], target: &[u8]) -> Result<(), EntryError> {
        let missing = || EntryError::MissingTarget {
            target: printable(target),
        };
        let target_parts = parts(target)?;
        let (last, parents) = target_parts.split_last().ok_or_else(missing)?;
        let directory = self.existing_directory(parents)?.ok_or_else(missing)?;
        let node = self.tree.lookup(directory, last).ok_or_else(missing)?;
        if self.tree.lookup(parent, name) == Some(node) {
            return Ok(());
        }
        if self.tree.node(node).kind.is_directory() {
            // Said before the name's old owner is removed.
            return Err(TreeError::DirectoryLink {
                path: self.tree.path_of(node),
            }
            .into());
        }
        self.tree.remove(parent, name);
        let newest = self.copies.get(&node).copied().unwrap_or(node);
        if self.tree.node(newest).links < MAX_LINKS {
            return Ok(self.tree.link(parent, name, newest)?);
        }
        let copy = self.tree.insert_copy(parent, name, newest)?;
        self.copies.insert(node, copy);
        let tree = &self.tree;
        self.losses
            .add_printable(Loss::Links, || tree.path_of(copy));
        Ok(())
    }
}

/// Treatment of missing directories on a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Make {
    Nothing,
    /// Made, also in the place of a file of a layer below.
    Here,
    /// Made, but the target of a link is not replaced: the layer has not named it.
    BehindLink,
}

impl Make {
    fn behind_a_link(self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Here | Self::BehindLink => Self::BehindLink,
        }
    }
}

enum Step {
    Into(NodeId),
    Follow(Vec<u8>),
    Missing,
}
