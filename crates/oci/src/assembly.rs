//! Entries of an archive, one after the other, into a tree.
//!
//! A path is resolved in the tree and nowhere else: a link on the way is followed inside of it, as in a chroot, where
//! `..` never leaves the root. So no name of an archive can reach the host.

use banger_disk::tree::{
    ACL_NAMES, Attributes, Contents, DeviceNumber, Extent, NodeId, NodeKind, SourceId, Tree,
    TreeError, Xattr, printable,
};

use crate::posix_acl::{self, AclError};
use crate::tar::{Entry, EntryKind};

/// Longest path of an entry in bytes (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// Most links that are followed on one path, as in the kernel (path_resolution(7)).
const MAX_HOPS: usize = 40;
/// Directories that an archive uses and does not describe.
const IMPLIED: Attributes = Attributes::root(0o755);
/// What overlayfs says to itself; in a base it would be taken for the guest's own.
const OVERLAY_PREFIX: &[u8] = b"trusted.overlay.";

/// Why an entry cannot be part of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It begins with a slash.
    #[error("its name is absolute")]
    Absolute,
    /// It holds `..`.
    #[error("its name holds \"..\"")]
    Traversal,
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
        /// How many are taken.
        limit: u64,
    },
    /// A whiteout of nothing, or of a directory itself.
    #[error("it is a whiteout without a name")]
    Whiteout,
    /// The root must be a directory.
    #[error("it would replace the root directory")]
    ReplacesRoot,
    /// An owner that no file system has.
    #[error("its {what} {value} is larger than 32 bits")]
    LargeId {
        /// User or group.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// Its access control list.
    #[error(transparent)]
    Acl(#[from] AclError),
    /// The tree refuses it.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// A tree that takes entries.
#[derive(Debug)]
pub(crate) struct Assembly {
    tree: Tree,
    /// Entries that may still come, and how many there might be.
    left: u64,
    limit: u64,
}

impl Assembly {
    /// Begins with an empty root directory.
    pub(crate) fn new(limit: u64) -> Result<Self, TreeError> {
        Ok(Self {
            tree: Tree::new(IMPLIED)?,
            left: limit,
            limit,
        })
    }

    /// Counts an entry, whatever becomes of it: what replaces, hides or repeats others takes no memory, but time.
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

    /// The finished tree.
    pub(crate) fn into_tree(self) -> Tree {
        self.tree
    }

    /// Adds `entry`, whose data lie in `source`. A later entry replaces an earlier one with its name; a directory keeps
    /// what is in it.
    pub(crate) fn add(&mut self, entry: &Entry, source: SourceId) -> Result<(), EntryError> {
        let parts = parts(&entry.path)?;
        let Some((name, parents)) = parts.split_last() else {
            return self.describe_root(entry);
        };
        let parent = self.directory(parents)?;
        if let EntryKind::HardLink(target) = &entry.kind {
            return self.hard_link(parent, name, target);
        }
        let attributes = attributes(entry)?;
        let kind = kind(&entry.kind, source)?;
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
        self.tree.set_xattrs(node, xattrs(entry)?)?;
        Ok(())
    }

    /// The directory at `parts`, made when it is not there; links on the way are followed.
    fn directory(&mut self, parts: &[&[u8]]) -> Result<NodeId, EntryError> {
        match self.walk(parts, true)? {
            Some(directory) => Ok(directory),
            // What is missing is made, so there is nothing that could not be found.
            None => Err(EntryError::TooManyLinks),
        }
    }

    /// The directory at `parts` when all of it is there; links on the way are followed.
    pub(crate) fn existing_directory(
        &mut self,
        parts: &[&[u8]],
    ) -> Result<Option<NodeId>, EntryError> {
        self.walk(parts, false)
    }

    fn walk(&mut self, parts: &[&[u8]], make: bool) -> Result<Option<NodeId>, EntryError> {
        let mut at = self.tree.root();
        for (index, &part) in parts.iter().enumerate() {
            at = match self.enter(at, part, make)? {
                Step::Into(directory) => directory,
                Step::Missing => return Ok(None),
                Step::Follow(target) => {
                    let behind = parts[index + 1..].iter().rev().map(|part| part.to_vec());
                    return self.follow(at, &target, behind.collect(), make);
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
        make: bool,
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

    fn enter(&mut self, directory: NodeId, name: &[u8], make: bool) -> Result<Step, EntryError> {
        let Some(node) = self.tree.lookup(directory, name) else {
            if !make {
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
            _ if !make => Ok(Step::Missing),
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
        self.tree.set_attributes(root, attributes(entry)?)?;
        self.tree.set_xattrs(root, xattrs(entry)?)?;
        Ok(())
    }

    fn hard_link(&mut self, parent: NodeId, name: &[u8], target: &[u8]) -> Result<(), EntryError> {
        let missing = || EntryError::MissingTarget {
            target: printable(target),
        };
        // Some programs write targets as seen from the root of the archive's machine.
        let relative = target.strip_prefix(b"/").unwrap_or(target);
        let target_parts = parts(relative)?;
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
        Ok(self.tree.link(parent, name, node)?)
    }
}

enum Step {
    Into(NodeId),
    Follow(Vec<u8>),
    Missing,
}

/// The parts of an entry's path.
pub(crate) fn parts(path: &[u8]) -> Result<Vec<&[u8]>, EntryError> {
    if path.len() > MAX_PATH {
        return Err(EntryError::TooLong { len: path.len() });
    }
    if path.starts_with(b"/") {
        return Err(EntryError::Absolute);
    }
    let mut parts = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(EntryError::Traversal),
            part => parts.push(part),
        }
    }
    Ok(parts)
}

fn attributes(entry: &Entry) -> Result<Attributes, EntryError> {
    let id = |what, value| {
        u32::try_from(value).map_err(|_too_large| EntryError::LargeId { what, value })
    };
    Ok(Attributes {
        mode: entry.mode,
        uid: id("owner", entry.uid)?,
        gid: id("group", entry.gid)?,
        mtime: entry.mtime,
    })
}

fn kind(kind: &EntryKind, source: SourceId) -> Result<NodeKind, EntryError> {
    Ok(match kind {
        EntryKind::Directory => NodeKind::Directory,
        EntryKind::File { size, pieces } => NodeKind::File(match pieces[..] {
            [(0, offset, len)] if len == *size => Contents::whole(source, offset, len),
            _ => {
                let extent = |&(at, offset, len): &(u64, u64, u64)| Extent {
                    at,
                    source,
                    offset,
                    len,
                };
                Contents::sparse(*size, pieces.iter().map(extent).collect())?
            }
        }),
        EntryKind::Symlink(target) => NodeKind::Symlink(target.clone().into()),
        EntryKind::CharDevice(major, minor) => NodeKind::CharDevice(device(*major, *minor)?),
        EntryKind::BlockDevice(major, minor) => NodeKind::BlockDevice(device(*major, *minor)?),
        EntryKind::Fifo => NodeKind::Fifo,
        // Handled before; a link to itself is what is left, and it is missing.
        EntryKind::HardLink(target) => {
            return Err(EntryError::MissingTarget {
                target: printable(target),
            });
        }
    })
}

fn device(major: u64, minor: u64) -> Result<DeviceNumber, EntryError> {
    let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(DeviceNumber::new(number(major), number(minor))?)
}

fn xattrs(entry: &Entry) -> Result<Vec<Xattr>, EntryError> {
    let mut xattrs = Vec::new();
    for (text, name) in entry.acls.iter().zip(ACL_NAMES) {
        if let Some(text) = text {
            xattrs.push(Xattr {
                name: name.into(),
                value: posix_acl::from_text(text)?.into(),
            });
        }
    }
    for (name, value) in &entry.xattrs {
        if is_kept(name) {
            xattrs.push(Xattr {
                name: name[..].into(),
                value: value[..].into(),
            });
        }
    }
    Ok(xattrs)
}

/// Whether an extended attribute means something on ext4: others (`system.nfs4_acl`, `btrfs.…`) belong to the file
/// system that the archive was made from.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    ACL_NAMES.contains(&name)
        || KEPT.iter().any(|namespace| name.starts_with(namespace))
            && !name.starts_with(OVERLAY_PREFIX)
}
