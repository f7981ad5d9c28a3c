//! Attributes of an entry, as a tree takes them. Attributes that cannot be kept are dropped and counted: one odd
//! attribute is no reason to refuse an image.

use std::collections::HashMap;

use banger_disk::ext4::storable;
use banger_disk::tree::{
    ACL_NAMES, Attributes, Contents, DeviceNumber, Extent, NodeId, NodeKind, SourceId, Tree,
    TreeError, Xattr, printable,
};

use crate::accounts::Accounts;
use crate::assembly::EntryError;
use crate::losses::{Loss, Losses};
use crate::posix_acl::{self, AclError};
use crate::tar::{Entry, EntryKind};

/// Owner of files without an owner, as the kernel shows it (user_namespaces(7)).
const NOBODY: u32 = 65_534;
/// Prefix of overlayfs's private attributes; in a base image they would be taken for the guest's own.
const OVERLAY_PREFIX: &[u8] = b"trusted.overlay.";
/// Most bytes of lists that wait for the image's accounts, all entries together.
const MAX_WAITING: usize = 8 << 20;
/// Cost of a waiting list besides its text, in bytes.
const WAITING_COST: usize = 64;

/// Owner, mode and times of `entry`.
pub(crate) fn attributes(entry: &Entry, losses: &mut Losses) -> Attributes {
    let mut odd = false;
    let mut id = |value| {
        u32::try_from(value).unwrap_or_else(|_too_large| {
            odd = true;
            NOBODY
        })
    };
    let (uid, gid) = (id(entry.uid), id(entry.gid));
    // A program with an unknown owner must not run as another user: it loses set-user-ID and set-group-ID.
    let mode = if odd { entry.mode & 0o1777 } else { entry.mode };
    if odd {
        losses.add(Loss::Owner, &entry.path);
    }
    Attributes {
        mode,
        uid,
        gid,
        mtime: entry.mtime,
    }
}

/// Node kind of `entry`; `None` for an entry that a tree cannot hold, which is left out.
pub(crate) fn kind(
    entry: &Entry,
    source: SourceId,
    losses: &mut Losses,
) -> Result<Option<NodeKind>, EntryError> {
    let mut device = |major: u64, minor: u64| match number(major, minor) {
        Some(number) => Some(number),
        None => {
            losses.add(Loss::Device, &entry.path);
            None
        }
    };
    Ok(Some(match &entry.kind {
        EntryKind::Directory => NodeKind::Directory,
        EntryKind::File { size, pieces } => NodeKind::File(contents(*size, pieces, source)?),
        EntryKind::Symlink(target) => NodeKind::Symlink(target.clone().into()),
        EntryKind::CharDevice(major, minor) => {
            return Ok(device(*major, *minor).map(NodeKind::CharDevice));
        }
        EntryKind::BlockDevice(major, minor) => {
            return Ok(device(*major, *minor).map(NodeKind::BlockDevice));
        }
        EntryKind::Fifo => NodeKind::Fifo,
        // Other hard links were handled before: this one points to itself, and its target is missing.
        EntryKind::HardLink(target) => {
            return Err(EntryError::MissingTarget {
                target: printable(target),
            });
        }
    }))
}

fn contents(
    size: u64,
    pieces: &[(u64, u64, u64)],
    source: SourceId,
) -> Result<Contents, TreeError> {
    match pieces[..] {
        [(0, offset, len)] if len == size => Ok(Contents::whole(source, offset, len)),
        _ => {
            let extent = |&(at, offset, len): &(u64, u64, u64)| Extent {
                at,
                source,
                offset,
                len,
            };
            Contents::sparse(size, pieces.iter().map(extent).collect())
        }
    }
}

fn number(major: u64, minor: u64) -> Option<DeviceNumber> {
    let (major, minor) = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    DeviceNumber::new(major, minor).ok()
}

/// Access control lists that name accounts, until all layers are there and the image's own accounts are known.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    waiting: HashMap<NodeId, [Option<Box<[u8]>>; 2]>,
    bytes: usize,
}

impl Lists {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The extended attributes that `node` gets of `entry`; lists that name accounts wait.
    pub(crate) fn xattrs(
        &mut self,
        node: NodeId,
        entry: &Entry,
        losses: &mut Losses,
    ) -> Vec<Xattr> {
        let mut xattrs = Vec::new();
        let mut waiting = [None, None];
        for ((text, name), later) in entry.acls.iter().zip(ACL_NAMES).zip(&mut waiting) {
            let Some(text) = text else {
                continue;
            };
            match posix_acl::from_text(text, &Accounts::default()) {
                Ok(list) => xattrs.push(Xattr {
                    name: name.into(),
                    value: list.into(),
                }),
                Err(AclError::Named) => *later = Some(text[..].into()),
                Err(AclError::Broken | AclError::TooLong) => losses.add(Loss::Acl, &entry.path),
            }
        }
        if !self.wait(node, waiting) {
            losses.add(Loss::AclAccounts, &entry.path);
        }
        for (name, value) in &entry.xattrs {
            if is_kept(name) {
                xattrs.push(Xattr {
                    name: name[..].into(),
                    value: value[..].into(),
                });
            }
        }
        keepable(xattrs, losses, &entry.path)
    }

    /// Keeps lists for later; answers whether there is room for them.
    fn wait(&mut self, node: NodeId, lists: [Option<Box<[u8]>>; 2]) -> bool {
        // The list of an earlier entry for this directory is void.
        if !self.waiting.is_empty() {
            self.waiting.remove(&node);
        }
        if lists.iter().all(Option::is_none) {
            return true;
        }
        let text: usize = lists.iter().flatten().map(|list| list.len()).sum();
        if self.bytes + text + WAITING_COST > MAX_WAITING {
            return false;
        }
        self.bytes += text + WAITING_COST;
        self.waiting.insert(node, lists);
        true
    }

    /// Gives `tree` the lists, with the numbers of `accounts`.
    pub(crate) fn apply(
        self,
        tree: &mut Tree,
        accounts: &Accounts,
        losses: &mut Losses,
    ) -> Result<(), TreeError> {
        let mut waiting: Vec<_> = self.waiting.into_iter().collect();
        // Sorted, so that results and reported losses do not depend on the map's order.
        waiting.sort_unstable_by_key(|(node, _)| *node);
        for (node, lists) in waiting {
            if tree.node(node).links > 0 {
                give(tree, node, &lists, accounts, losses)?;
            }
        }
        Ok(())
    }
}

fn give(
    tree: &mut Tree,
    node: NodeId,
    lists: &[Option<Box<[u8]>>; 2],
    accounts: &Accounts,
    losses: &mut Losses,
) -> Result<(), TreeError> {
    let mut xattrs = tree.node(node).xattrs.to_vec();
    for (number, (text, name)) in lists.iter().zip(ACL_NAMES).enumerate() {
        let Some(text) = text else {
            continue;
        };
        match posix_acl::from_text(text, accounts) {
            Ok(list) => xattrs.push(Xattr {
                name: name.into(),
                value: list.into(),
            }),
            Err(_unknown_account) => {
                losses.add_printable(Loss::AclAccounts, || tree.path_of(node));
                if number == 0 {
                    without_list(tree, node, text)?;
                }
            }
        }
    }
    let (xattrs, left_out) = storable(xattrs);
    if left_out > 0 {
        losses.add_printable(Loss::Xattrs, || tree.path_of(node));
    }
    tree.set_xattrs(node, xattrs)
}

/// Sets the permissions of `node` when its list `text` is not kept: the mode shows the mask, and the group gets only its
/// own permissions within it.
fn without_list(tree: &mut Tree, node: NodeId, text: &[u8]) -> Result<(), TreeError> {
    let Some(of_group) = posix_acl::group_permissions(text) else {
        return Ok(());
    };
    let mut attributes = *tree.node(node).attributes;
    attributes.mode &= !0o070 | (of_group << 3);
    tree.set_attributes(node, attributes)
}

/// The part of `xattrs` that ext4 can hold; the rest is counted as lost by the entry at `path`.
fn keepable(xattrs: Vec<Xattr>, losses: &mut Losses, path: &[u8]) -> Vec<Xattr> {
    if xattrs.is_empty() {
        return xattrs;
    }
    let (kept, left_out) = storable(xattrs);
    if left_out > 0 {
        losses.add(Loss::Xattrs, path);
    }
    kept
}

/// Tells whether an extended attribute has a meaning on ext4: others (`system.nfs4_acl`, `btrfs.…`) belong to the
/// file system that the archive was made from.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    ACL_NAMES.contains(&name)
        || KEPT.iter().any(|namespace| name.starts_with(namespace))
            && !name.starts_with(OVERLAY_PREFIX)
}
