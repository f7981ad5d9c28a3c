//! A folder of the host as a tree: owners, modes, times, hard links, holes and extended attributes as they are.
//!
//! It stays on one file system: a folder on which another one is mounted is taken empty. Contents are read when the
//! image is written; a file that became shorter since then is an error there.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use banger_disk::ext4::storable;
use banger_disk::sparse;
use banger_disk::tree::{
    Attributes, Contents, DeviceNumber, Extent, MAX_LINKS, NodeId, NodeKind, Source, Timestamp,
    Tree, TreeError, Xattr,
};
use rustix::io::Errno;

use crate::assembly::Files;
use crate::attributes::is_kept;
use crate::losses::{Loss, Losses};

/// Longest list of names, and longest value, of extended attributes that Linux gives (xattr(7)), in bytes.
const MAX_XATTR: usize = 64 << 10;

/// Failure to make a tree of a folder.
#[derive(Debug, thiserror::Error)]
pub enum HostDirError {
    /// Something in it cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It is no folder.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// Its path.
        path: PathBuf,
    },
    /// Something in it cannot be part of a tree.
    #[error("cannot take {}", path.display())]
    Entry {
        /// Path of the file.
        path: PathBuf,
        /// The tree's refusal.
        #[source]
        source: TreeError,
    },
}

/// The tree of the folder `root`, which becomes the tree's root.
///
/// # Errors
/// A file cannot be read (an ordinary user cannot read others' private files), or has no place in a tree.
pub fn tree_from_dir(root: &Path) -> Result<Files, HostDirError> {
    let metadata = fs::metadata(root).map_err(|source| unreadable(root, source))?;
    if !metadata.is_dir() {
        return Err(HostDirError::NotADirectory {
            path: root.to_owned(),
        });
    }
    let tree = Tree::new(attributes(&metadata)).map_err(|source| refused(root, source))?;
    let mut walk = Walk {
        device: metadata.dev(),
        known: HashMap::new(),
        losses: Losses::default(),
        tree,
    };
    let top = walk.tree.root();
    walk.copy_xattrs(root, top)?;
    let mut open = vec![(root.to_owned(), top)];
    while let Some((folder, node)) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(|source| unreadable(&folder, source))? {
            let entry = entry.map_err(|source| unreadable(&folder, source))?;
            let path = entry.path();
            let metadata =
                fs::symlink_metadata(&path).map_err(|source| unreadable(&path, source))?;
            let child = walk.add(&path, &entry.file_name(), &metadata, node)?;
            if metadata.is_dir() && metadata.dev() == walk.device {
                open.push((path, child));
            }
        }
    }
    Ok(Files {
        tree: walk.tree,
        losses: walk.losses,
    })
}

struct Walk {
    tree: Tree,
    losses: Losses,
    /// The file system that it stays on.
    device: u64,
    /// Nodes of files with several names, by inode.
    known: HashMap<u64, NodeId>,
}

impl Walk {
    fn add(
        &mut self,
        path: &Path,
        name: &OsStr,
        metadata: &Metadata,
        parent: NodeId,
    ) -> Result<NodeId, HostDirError> {
        let refuse = |source| refused(path, source);
        let shared = !metadata.is_dir() && metadata.nlink() > 1 && metadata.dev() == self.device;
        if let Some(&node) = self.known.get(&metadata.ino()).filter(|_| shared) {
            return self.link(path, name, metadata, parent, node);
        }
        let kind = self.kind(path, metadata)?;
        let attributes = attributes(metadata);
        let node = self
            .tree
            .insert(parent, name.as_bytes(), kind, attributes)
            .map_err(refuse)?;
        self.copy_xattrs(path, node)?;
        if shared {
            self.known.insert(metadata.ino(), node);
        }
        Ok(node)
    }

    /// Gives `node` a further name; a file that has as many as ext4 takes is copied.
    fn link(
        &mut self,
        path: &Path,
        name: &OsStr,
        metadata: &Metadata,
        parent: NodeId,
        node: NodeId,
    ) -> Result<NodeId, HostDirError> {
        let refuse = |source| refused(path, source);
        if self.tree.node(node).links < MAX_LINKS {
            let linked = self.tree.link(parent, name.as_bytes(), node);
            return linked.map_err(refuse).map(|()| node);
        }
        let copied = self.tree.insert_copy(parent, name.as_bytes(), node);
        let copy = copied.map_err(refuse)?;
        self.known.insert(metadata.ino(), copy);
        self.losses.add(Loss::Links, path.as_os_str().as_bytes());
        Ok(copy)
    }

    fn kind(&mut self, path: &Path, metadata: &Metadata) -> Result<NodeKind, HostDirError> {
        let kind = metadata.file_type();
        let device = || {
            let (major, minor) = (
                rustix::fs::major(metadata.rdev()),
                rustix::fs::minor(metadata.rdev()),
            );
            DeviceNumber::new(major, minor).map_err(|source| refused(path, source))
        };
        Ok(if kind.is_dir() {
            NodeKind::Directory
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|source| unreadable(path, source))?;
            NodeKind::Symlink(target.as_os_str().as_bytes().into())
        } else if kind.is_char_device() {
            NodeKind::CharDevice(device()?)
        } else if kind.is_block_device() {
            NodeKind::BlockDevice(device()?)
        } else if kind.is_fifo() {
            NodeKind::Fifo
        } else if kind.is_socket() {
            NodeKind::Socket
        } else {
            NodeKind::File(self.contents(path, metadata)?)
        })
    }

    fn contents(&mut self, path: &Path, metadata: &Metadata) -> Result<Contents, HostDirError> {
        let size = metadata.len();
        if size == 0 {
            return Ok(Contents::empty());
        }
        let source = self.tree.add_source(Source::Path(path.to_owned()));
        if metadata.blocks() * 512 >= size {
            return Ok(Contents::whole(source, 0, size));
        }
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        let (mut extents, mut at) = (Vec::new(), 0);
        while let Some((start, len)) =
            sparse::next_data(&file, at).map_err(|source| unreadable(path, source))?
        {
            let len = len.min(size.saturating_sub(start));
            extents.push(Extent {
                at: start,
                source,
                offset: start,
                len,
            });
            at = start + len;
            if at >= size {
                break;
            }
        }
        Contents::sparse(size, extents).map_err(|source| refused(path, source))
    }

    fn copy_xattrs(&mut self, path: &Path, node: NodeId) -> Result<(), HostDirError> {
        let failed = |errno: Errno| unreadable(path, errno.into());
        let mut names = Vec::new();
        match rustix::fs::llistxattr_query(path) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Ok(_) => {
                names.resize(MAX_XATTR, 0);
                let len = rustix::fs::llistxattr(path, &mut names).map_err(failed)?;
                names.truncate(len);
            }
            Err(errno) => return Err(failed(errno)),
        }
        let mut xattrs = Vec::new();
        for name in names.split(|&byte| byte == 0).filter(|name| is_kept(name)) {
            let mut value = vec![0; MAX_XATTR];
            let len = match rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value) {
                Ok(len) => len,
                Err(Errno::NODATA) => continue, // removed since it was listed
                Err(errno) => return Err(failed(errno)),
            };
            xattrs.push(Xattr {
                name: name.into(),
                value: value[..len].into(),
            });
        }
        let (xattrs, left_out) = storable(xattrs);
        if left_out > 0 {
            self.losses.add(Loss::Xattrs, path.as_os_str().as_bytes());
        }
        self.tree
            .set_xattrs(node, xattrs)
            .map_err(|source| refused(path, source))
    }
}

fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: Timestamp {
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec() as u32,
        },
    }
}

fn unreadable(path: &Path, source: io::Error) -> HostDirError {
    HostDirError::Read {
        path: path.to_owned(),
        source,
    }
}

fn refused(path: &Path, source: TreeError) -> HostDirError {
    HostDirError::Entry {
        path: path.to_owned(),
        source,
    }
}
