//! An image that this crate has written, read back as a tree.
//!
//! ```text
//!  superblock (our features, nothing else) ─► group descriptors ─► root inode ─► directories ─► nodes
//!                                                                  contents: their places in the image, not read
//! ```
//!
//! For bases and seeds that banger wrote itself and that were never mounted writable: an image with any other feature
//! is refused. The reader still trusts nothing: every number is checked before use, a directory is entered once, and
//! memory is bounded by the image's own size.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{
    BLOCK, BLOCK_BYTES, BLOCKS_PER_GROUP, COMPAT, COMPAT_JOURNAL, DESCRIPTOR, FIRST_INODE,
    INCOMPAT, INODE, RO_COMPAT, ROOT_INODE,
};
use super::read_inode::{self, Inode, Kind, Mapped};
use super::read_xattr;
use crate::tree::{Contents, Extent, NodeId, NodeKind, Source, SourceId, Tree, TreeError};

/// Deepest nesting of directories that is followed.
const MAX_DEPTH: usize = 4096;

/// Reason why an image cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read disk image {}", path.display())]
    Read {
        /// The image.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It was not written by this crate.
    #[error("disk image {} was not written by banger: {why}", path.display())]
    NotOurs {
        /// The image.
        path: PathBuf,
        /// The difference.
        why: String,
    },
    /// It is damaged.
    #[error("disk image {} is damaged: inode {inode}: {what}", path.display())]
    Broken {
        /// The image.
        path: PathBuf,
        /// The inode concerned.
        inode: u32,
        /// The problem.
        what: String,
    },
    /// The tree refuses the contents of the image.
    #[error("cannot make a tree of disk image {}", path.display())]
    Tree {
        /// The image.
        path: PathBuf,
        /// Cause.
        #[source]
        source: TreeError,
    },
}

/// Reads the tree of the image at `path`, which [`super::write_tree`] has written. Contents stay in the image: the tree
/// keeps it open and knows their places.
///
/// # Errors
/// Fails when it cannot be read, was written by something else, or is damaged.
pub fn read_tree(path: &Path) -> Result<Tree, ReadError> {
    let failed = |source| ReadError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let image = Image::open(path, Arc::new(file))?;
    let reader = Reader {
        root: image.inode(ROOT_INODE)?,
        image,
        known: HashMap::new(),
    };
    reader.tree()
}

/// An open image.
pub(super) struct Image<'p> {
    path: &'p Path,
    file: Arc<File>,
    blocks: u64,
    inodes: u32,
    inodes_per_group: u32,
    tables: Vec<u64>,
}

impl<'p> Image<'p> {
    fn open(path: &'p Path, file: Arc<File>) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Read {
            path: path.to_owned(),
            source,
        };
        let other = |why: String| ReadError::NotOurs {
            path: path.to_owned(),
            why,
        };
        let mut raw = [0; 1024];
        file.read_exact_at(&mut raw, 1024).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if u16_at(&raw, 0x38) != 0xEF53 || u32_at(&raw, 0x18) != 2 {
            return Err(other("no ext4 with blocks of 4 KiB".to_owned()));
        }
        let features = [0x5C, 0x60, 0x64].map(|at| u32_at(&raw, at));
        if features != [COMPAT, INCOMPAT, RO_COMPAT]
            && features != [COMPAT | COMPAT_JOURNAL, INCOMPAT, RO_COMPAT]
        {
            return Err(other(format!("features {features:x?}")));
        }
        let (blocks, inodes) = (u64::from(u32_at(&raw, 4)), u32_at(&raw, 0));
        let inodes_per_group = u32_at(&raw, 0x28);
        let inode_size = usize::from(u16_at(&raw, 0x58));
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
        let fits =
            blocks * BLOCK_BYTES <= len && groups * u64::from(inodes_per_group) >= inodes.into();
        if inode_size != INODE
            || inodes_per_group == 0
            || inodes_per_group > 8 * BLOCK as u32
            || !fits
        {
            return Err(other("impossible sizes in its superblock".to_owned()));
        }
        // At most 2^32 blocks: 2^17 groups.
        let mut descriptors = vec![0; groups as usize * DESCRIPTOR];
        file.read_exact_at(&mut descriptors, BLOCK_BYTES)
            .map_err(failed)?;
        let tables = descriptors
            .chunks_exact(DESCRIPTOR)
            .map(|raw| u32_at(raw, 8).into());
        Ok(Self {
            path,
            file,
            blocks,
            inodes,
            inodes_per_group,
            tables: tables.collect(),
        })
    }

    /// Its blocks, those of holes among them.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(super) fn broken(&self, inode: u32, what: impl Into<String>) -> ReadError {
        ReadError::Broken {
            path: self.path.to_owned(),
            inode,
            what: what.into(),
        }
    }

    fn tree_failed(&self, source: TreeError) -> ReadError {
        ReadError::Tree {
            path: self.path.to_owned(),
            source,
        }
    }

    /// Reads block `number`, which `inode` refers to.
    pub(super) fn block(&self, inode: u32, number: u64) -> Result<[u8; BLOCK], ReadError> {
        if number == 0 || number >= self.blocks {
            return Err(self.broken(inode, format!("block {number} is none of the image's")));
        }
        let mut block = [0; BLOCK];
        self.file
            .read_exact_at(&mut block, number * BLOCK_BYTES)
            .map_err(|source| ReadError::Read {
                path: self.path.to_owned(),
                source,
            })?;
        Ok(block)
    }

    fn inode(&self, number: u32) -> Result<Inode, ReadError> {
        if number != ROOT_INODE && !(FIRST_INODE..=self.inodes).contains(&number) {
            return Err(self.broken(number, "there is no such inode"));
        }
        let (group, index) = (
            (number - 1) / self.inodes_per_group,
            (number - 1) % self.inodes_per_group,
        );
        let table = self.tables.get(group as usize).copied().unwrap_or(0);
        let at = u64::from(index) * INODE as u64;
        let block = self.block(number, table + at / BLOCK_BYTES)?;
        let from = (at % BLOCK_BYTES) as usize;
        read_inode::decode(self, number, &block[from..from + INODE])
    }

    /// Tells whether `run` lies in the image and in a file of so many blocks.
    fn holds(&self, run: &Mapped, blocks: u64) -> bool {
        run.logical + run.len <= blocks && run.start > 0 && run.start + run.len <= self.blocks
    }
}

struct Reader<'p> {
    image: Image<'p>,
    root: Inode,
    /// Nodes of inodes that have been seen.
    known: HashMap<u32, NodeId>,
}

impl Reader<'_> {
    fn tree(mut self) -> Result<Tree, ReadError> {
        let root = self.root.clone();
        if root.kind != Kind::Directory {
            return Err(self.image.broken(ROOT_INODE, "the root is no directory"));
        }
        let mut tree =
            Tree::new(root.attributes).map_err(|source| self.image.tree_failed(source))?;
        let source = tree.add_source(Source::File(Arc::clone(&self.image.file)));
        let node = tree.root();
        self.known.insert(ROOT_INODE, node);
        self.set_xattrs(&mut tree, node, ROOT_INODE, &root)?;
        let mut open = vec![(ROOT_INODE, root, node, 0)];
        while let Some((number, directory, place, depth)) = open.pop() {
            if depth > MAX_DEPTH {
                return Err(self
                    .image
                    .broken(number, "directories are nested too deeply"));
            }
            for (name, child) in self.entries(number, &directory)? {
                if let Some(&known) = self.known.get(&child) {
                    tree.link(place, &name, known)
                        .map_err(|source| self.image.tree_failed(source))?;
                    continue;
                }
                let inode = self.image.inode(child)?;
                let made = self.insert(&mut tree, place, &name, (child, &inode), source)?;
                if inode.kind == Kind::Directory {
                    open.push((child, inode, made, depth + 1));
                }
            }
        }
        Ok(tree)
    }

    fn insert(
        &mut self,
        tree: &mut Tree,
        place: NodeId,
        name: &[u8],
        (number, inode): (u32, &Inode),
        source: SourceId,
    ) -> Result<NodeId, ReadError> {
        let kind = match inode.kind {
            Kind::Directory => NodeKind::Directory,
            Kind::File => NodeKind::File(self.contents(number, inode, source)?),
            Kind::Symlink => NodeKind::Symlink(self.target(number, inode)?),
            Kind::CharDevice(device) => NodeKind::CharDevice(device),
            Kind::BlockDevice(device) => NodeKind::BlockDevice(device),
            Kind::Fifo => NodeKind::Fifo,
            Kind::Socket => NodeKind::Socket,
        };
        let node = tree
            .insert(place, name, kind, inode.attributes)
            .map_err(|source| self.image.tree_failed(source))?;
        self.set_xattrs(tree, node, number, inode)?;
        self.known.insert(number, node);
        Ok(node)
    }

    fn set_xattrs(
        &self,
        tree: &mut Tree,
        node: NodeId,
        number: u32,
        inode: &Inode,
    ) -> Result<(), ReadError> {
        let mut xattrs =
            read_xattr::in_inode(&inode.behind).map_err(|what| self.image.broken(number, what))?;
        if inode.xattr_block != 0 {
            let block = self.image.block(number, inode.xattr_block)?;
            let more = read_xattr::in_block(&block);
            xattrs.extend(more.map_err(|what| self.image.broken(number, what))?);
        }
        if xattrs.is_empty() {
            return Ok(());
        }
        tree.set_xattrs(node, xattrs)
            .map_err(|source| self.image.tree_failed(source))
    }

    /// Runs of the file's blocks, ascending and checked.
    fn runs(&self, number: u32, inode: &Inode) -> Result<Vec<Mapped>, ReadError> {
        let runs = read_inode::mapped(&self.image, number, inode)?;
        let blocks = inode.size.div_ceil(BLOCK_BYTES);
        let mut end = 0;
        for run in &runs {
            if run.logical < end || !self.image.holds(run, blocks) {
                return Err(self.image.broken(number, "its extents do not fit"));
            }
            end = run.logical + run.len;
        }
        Ok(runs)
    }

    fn contents(
        &self,
        number: u32,
        inode: &Inode,
        source: SourceId,
    ) -> Result<Contents, ReadError> {
        let mut extents: Vec<Extent> = Vec::new();
        for run in self.runs(number, inode)? {
            let at = run.logical * BLOCK_BYTES;
            let (offset, len) = (
                run.start * BLOCK_BYTES,
                (run.len * BLOCK_BYTES).min(inode.size - at),
            );
            match extents.last_mut() {
                // ext4 splits contiguous data every 128 MiB.
                Some(last) if last.at + last.len == at && last.offset + last.len == offset => {
                    last.len += len;
                }
                _ => extents.push(Extent {
                    at,
                    source,
                    offset,
                    len,
                }),
            }
        }
        if let [only] = extents[..]
            && only.len == inode.size
        {
            return Ok(Contents::whole(source, only.offset, only.len));
        }
        Contents::sparse(inode.size, extents).map_err(|source| self.image.tree_failed(source))
    }

    fn target(&self, number: u32, inode: &Inode) -> Result<Box<[u8]>, ReadError> {
        let len = usize::try_from(inode.size).unwrap_or(usize::MAX);
        if len < inode.area.len() {
            return Ok(inode.area[..len].into());
        }
        let runs = self.runs(number, inode)?;
        match runs.first() {
            Some(run) if len < BLOCK => Ok(self.image.block(number, run.start)?[..len].into()),
            _ => Err(self
                .image
                .broken(number, "its link target does not fit a block")),
        }
    }

    /// Names and inodes in a directory, `.` and `..` left out.
    fn entries(&self, number: u32, directory: &Inode) -> Result<Vec<(Vec<u8>, u32)>, ReadError> {
        let broken = || self.image.broken(number, "a directory entry does not fit");
        let mut found = Vec::new();
        for run in self.runs(number, directory)? {
            for position in 0..run.len {
                let block = self.image.block(number, run.start + position)?;
                let mut at = 0;
                while at + 8 <= BLOCK {
                    let (inode, len) = (u32_at(&block, at), usize::from(u16_at(&block, at + 4)));
                    let name_len = usize::from(block[at + 6]);
                    if len < 8 || at + len > BLOCK || 8 + name_len > len {
                        return Err(broken());
                    }
                    let name = &block[at + 8..at + 8 + name_len];
                    // Without an inode: the block's checksum, or a node of the hash index.
                    if inode != 0 && name != b"." && name != b".." {
                        found.push((name.to_vec(), inode));
                    }
                    at += len;
                }
            }
        }
        Ok(found)
    }
}

/// A little-endian number.
pub(super) fn u16_at(raw: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([raw[at], raw[at + 1]])
}

/// A little-endian number.
pub(super) fn u32_at(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
}
