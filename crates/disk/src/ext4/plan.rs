//! Places for everything of a tree, before a byte is written.
//!
//! ```text
//!  tree ─ number ─► inodes 11, 12, … (a directory's entries follow each other, sorted by name)
//!       ─ place ──► fixed tables │ journal │ directories, long links │ contents of files, in order of inodes
//! ```
//! For each inode only the first block is kept: taking blocks again from there gives the same ones.

use super::allocation::{Cursor, Run};
use super::directory;
use super::error::WriteError;
use super::extents::{self, Mapping};
use super::format::{BLOCK_BYTES, BLOCKS_PER_GROUP, FIRST_INODE, INODE_BLOCK_AREA, ROOT_INODE};
use super::geometry::Geometry;
use super::options::{ImageOptions, ImageSize};
use super::xattr::XattrPlan;
use crate::tree::{Child, Contents, NodeId, NodeKind, Tree};

/// Smallest file system, in bytes.
const LEAST_SIZE: u64 = 1 << 20;
/// Smallest journal that the kernel accepts (`JBD2_MIN_JOURNAL_BLOCKS`).
const LEAST_JOURNAL_BLOCKS: u64 = 1024;
/// Bytes of disk for each inode of a disk that will be filled: mke2fs's ratio.
const BYTES_PER_INODE: u64 = 16384;
/// ext4 numbers the blocks of a file with 32 bits.
const MAX_FILE_SIZE: u64 = (u32::MAX as u64) * BLOCK_BYTES;

/// First block of one inode, and the number of blocks of a directory.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    start: u32,
    directory_blocks: u32,
}

/// The layout of an image.
#[derive(Debug)]
pub(crate) struct Plan<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) shape: Geometry,
    /// Size of the file in bytes.
    pub(crate) file_size: u64,
    /// Nodes in the order of their inodes, from [`FIRST_INODE`] on.
    nodes: Vec<NodeId>,
    /// Inode of each node; 0 for those without a name.
    inodes: Vec<u32>,
    places: Vec<Place>,
    root_place: Place,
    /// Journal, if there is one.
    pub(crate) journal: Option<Blocks>,
    /// The first unused block; fixed structures may follow it.
    pub(crate) end: u64,
    /// First block of the contents of files.
    pub(crate) contents_start: u64,
}

/// Blocks of one inode.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) xattrs: Option<u64>,
    pub(crate) contents: Vec<Mapping>,
    pub(crate) extent_tree: Vec<u64>,
}

impl Blocks {
    /// Number of blocks.
    pub(crate) fn count(&self) -> u64 {
        let contents: u64 = self.contents.iter().map(|mapping| mapping.blocks.len).sum();
        contents + self.extent_tree.len() as u64 + u64::from(self.xattrs.is_some())
    }

    fn take_extent_tree(&mut self, cursor: &mut Cursor<'_>) {
        let count = extents::tree_blocks(self.contents.len());
        self.extent_tree
            .extend((0..count).map(|_| cursor.take_one()));
    }
}

impl<'t> Plan<'t> {
    /// Lays `tree` out.
    pub(crate) fn new(tree: &'t Tree, options: &ImageOptions) -> Result<Self, WriteError> {
        let (nodes, inodes) = number(tree);
        let used = nodes.len() as u64 + u64::from(FIRST_INODE) - 1;
        let mut plan = Self {
            tree,
            shape: Geometry::new(LEAST_SIZE / BLOCK_BYTES, u64::from(FIRST_INODE))?,
            file_size: 0,
            places: vec![Place::default(); nodes.len()],
            nodes,
            inodes,
            root_place: Place::default(),
            journal: None,
            end: 0,
            contents_start: 0,
        };
        plan.check()?;
        match options.size {
            ImageSize::Exactly(size) => plan.place_in(size, used, options.journal)?,
            ImageSize::Fit => plan.place_to_fit(used, options.journal)?,
        }
        Ok(plan)
    }

    /// All inodes in use, reserved ones included.
    pub(crate) fn used_inodes(&self) -> u32 {
        self.nodes.len() as u32 + FIRST_INODE - 1
    }

    /// The node of `inode`, when it is not a reserved one.
    pub(crate) fn node(&self, inode: u32) -> Option<NodeId> {
        if inode == ROOT_INODE {
            return Some(self.tree.root());
        }
        self.nodes
            .get(inode.checked_sub(FIRST_INODE)? as usize)
            .copied()
    }

    /// The inode of `node`.
    pub(crate) fn inode(&self, node: NodeId) -> u32 {
        self.inodes[node.index()]
    }

    /// Root, then all inodes that are not reserved, ascending.
    pub(crate) fn inodes(&self) -> impl Iterator<Item = (u32, NodeId)> {
        let others = self
            .nodes
            .iter()
            .zip(FIRST_INODE..)
            .map(|(&node, inode)| (inode, node));
        std::iter::once((ROOT_INODE, self.tree.root())).chain(others)
    }

    /// The blocks of `inode`.
    pub(crate) fn blocks(&self, inode: u32, node: NodeId, needs_xattr_block: bool) -> Blocks {
        let place = match inode {
            ROOT_INODE => self.root_place,
            _ => self.places[(inode - FIRST_INODE) as usize],
        };
        let mut cursor = Cursor::new(&self.shape.fixed, u64::from(place.start));
        let kind = self.tree.node(node).kind;
        take(
            &mut cursor,
            kind,
            u64::from(place.directory_blocks),
            needs_xattr_block,
        )
    }

    /// Storage of the extended attributes of `node`.
    pub(crate) fn xattrs(&self, node: NodeId) -> Result<XattrPlan, WriteError> {
        XattrPlan::new(self.tree.node(node).xattrs).map_err(|source| WriteError::Xattrs {
            entry: self.tree.path_of(node),
            source,
        })
    }

    /// The entries of `directory`, sorted by name.
    pub(crate) fn children(&self, directory: NodeId) -> Vec<Child<'t>> {
        sorted_children(self.tree, directory)
    }

    /// Refuses a tree that ext4 cannot hold, and counts the blocks of directories.
    fn check(&mut self) -> Result<(), WriteError> {
        for position in 0..=self.nodes.len() {
            let node = match position {
                0 => self.tree.root(),
                other => self.nodes[other - 1],
            };
            let blocks = match self.tree.node(node).kind {
                NodeKind::File(contents) if contents.size() > MAX_FILE_SIZE => {
                    return Err(WriteError::FileTooLarge {
                        entry: self.tree.path_of(node),
                        size: contents.size(),
                    });
                }
                NodeKind::Directory => self.directory_blocks(node)?,
                _ => continue,
            };
            let place = match position {
                0 => &mut self.root_place,
                other => &mut self.places[other - 1],
            };
            place.directory_blocks = blocks;
        }
        Ok(())
    }

    fn directory_blocks(&self, node: NodeId) -> Result<u32, WriteError> {
        let names = self.tree.children(node).map(|child| child.name.len());
        if directory::fits_one_block(names) {
            return Ok(1);
        }
        let children = self.children(node);
        match directory::indexed_blocks(children.iter().map(|child| child.name)) {
            Ok(blocks) => Ok(blocks as u32),
            Err(directory::TooManyEntries) => Err(WriteError::DirectoryTooLarge {
                entry: self.tree.path_of(node),
            }),
        }
    }

    fn place_in(&mut self, size: u64, used: u64, journal: bool) -> Result<(), WriteError> {
        if size < LEAST_SIZE {
            return Err(WriteError::TooSmall {
                size,
                least: LEAST_SIZE,
            });
        }
        let blocks = Geometry::round_down(size / BLOCK_BYTES);
        let inodes = (blocks * BLOCK_BYTES / BYTES_PER_INODE).max(used + used / 4);
        self.shape = Geometry::new(blocks, inodes)?;
        self.file_size = size;
        self.place(journal.then(|| journal_blocks(blocks)))?;
        if self.end > blocks || self.shape.fixed_end() > blocks {
            return Err(WriteError::DoesNotFit {
                needed: self.end.max(self.shape.fixed_end()) * BLOCK_BYTES,
                size,
            });
        }
        Ok(())
    }

    /// Places the tree in a guessed size, and again in the size that was then needed, until it fits.
    fn place_to_fit(&mut self, used: u64, journal: bool) -> Result<(), WriteError> {
        let mut blocks = LEAST_SIZE / BLOCK_BYTES;
        loop {
            let groups_for_inodes = used.div_ceil(BLOCKS_PER_GROUP);
            blocks = Geometry::round_up(blocks.max((groups_for_inodes - 1) * BLOCKS_PER_GROUP + 1));
            self.shape = Geometry::new(blocks, used)?;
            self.file_size = blocks * BLOCK_BYTES;
            self.place(journal.then(|| journal_blocks(blocks)))?;
            let needed = self.end.max(self.shape.fixed_end());
            if needed <= blocks {
                return Ok(());
            }
            blocks = needed;
        }
    }

    fn place(&mut self, journal: Option<u64>) -> Result<(), WriteError> {
        let mut cursor = Cursor::new(&self.shape.fixed, 0);
        self.journal = journal.map(|count| {
            let mut blocks = Blocks::default();
            let mut runs = Vec::new();
            cursor.take(count, &mut runs);
            extents::map(0, &runs, &mut blocks.contents);
            blocks.take_extent_tree(&mut cursor);
            blocks
        });
        for files in [false, true] {
            if files {
                self.contents_start = cursor.position();
            }
            for position in 0..=self.nodes.len() {
                let (node, place) = match position {
                    0 => (self.tree.root(), &mut self.root_place),
                    other => (self.nodes[other - 1], &mut self.places[other - 1]),
                };
                let looked_at = self.tree.node(node);
                if matches!(looked_at.kind, NodeKind::File(_)) != files {
                    continue;
                }
                let needs_xattr_block = !looked_at.xattrs.is_empty() && {
                    let plan = XattrPlan::new(looked_at.xattrs);
                    plan.map_err(|source| WriteError::Xattrs {
                        entry: self.tree.path_of(node),
                        source,
                    })?
                    .needs_block()
                };
                place.start = u32::try_from(cursor.position()).map_err(|_out_of_range| {
                    WriteError::TooLarge {
                        size: cursor.position() * BLOCK_BYTES,
                    }
                })?;
                let blocks = u64::from(place.directory_blocks);
                take(&mut cursor, looked_at.kind, blocks, needs_xattr_block);
            }
        }
        self.end = cursor.position();
        Ok(())
    }
}

/// Takes the blocks of one inode: extended attributes, contents, extent tree.
fn take(
    cursor: &mut Cursor<'_>,
    kind: &NodeKind,
    directory_blocks: u64,
    needs_xattr_block: bool,
) -> Blocks {
    let mut blocks = Blocks::default();
    if needs_xattr_block {
        blocks.xattrs = Some(cursor.take_one());
    }
    let mut runs = Vec::new();
    match kind {
        NodeKind::Directory => {
            cursor.take(directory_blocks, &mut runs);
            extents::map(0, &runs, &mut blocks.contents);
        }
        NodeKind::Symlink(target) if target.len() >= INODE_BLOCK_AREA => {
            cursor.take(1, &mut runs);
            extents::map(0, &runs, &mut blocks.contents);
        }
        NodeKind::File(contents) => {
            for (first, count) in data_blocks(contents) {
                runs.clear();
                cursor.take(count, &mut runs);
                extents::map(first, &runs, &mut blocks.contents);
            }
        }
        _ => {}
    }
    blocks.take_extent_tree(cursor);
    blocks
}

/// Runs of a file's blocks that hold data, as (first, count): touching runs are one.
pub(crate) fn data_blocks(contents: &Contents) -> impl Iterator<Item = (u64, u64)> + '_ {
    let mut extents = contents.extents().peekable();
    std::iter::from_fn(move || {
        let extent = extents.next()?;
        let first = extent.at / BLOCK_BYTES;
        let mut end = (extent.at + extent.len).div_ceil(BLOCK_BYTES);
        while let Some(next) = extents.next_if(|next| next.at / BLOCK_BYTES <= end) {
            end = end.max((next.at + next.len).div_ceil(BLOCK_BYTES));
        }
        Some((first, end - first))
    })
}

/// Blocks of the journal of a disk of `blocks` blocks: mke2fs's steps, up to 64 MiB.
fn journal_blocks(blocks: u64) -> u64 {
    match blocks {
        0..32_768 => LEAST_JOURNAL_BLOCKS,
        32_768..262_144 => 4096,
        262_144..524_288 => 8192,
        _ => 16_384,
    }
}

fn sorted_children(tree: &Tree, directory: NodeId) -> Vec<Child<'_>> {
    let mut children: Vec<Child<'_>> = tree.children(directory).collect();
    children.sort_unstable_by_key(|child| child.name);
    children
}

/// Gives every node with a name an inode: the entries of a directory together, then those of its subdirectories.
fn number(tree: &Tree) -> (Vec<NodeId>, Vec<u32>) {
    let mut nodes = Vec::with_capacity(tree.entry_count());
    let mut inodes = vec![0; tree.node_capacity()];
    inodes[tree.root().index()] = ROOT_INODE;
    let mut open = vec![tree.root()];
    while let Some(directory) = open.pop() {
        let children = sorted_children(tree, directory);
        for child in &children {
            let inode = &mut inodes[child.node.index()];
            if *inode == 0 {
                *inode = nodes.len() as u32 + FIRST_INODE;
                nodes.push(child.node);
            }
        }
        let below = children.iter().rev().map(|child| child.node);
        open.extend(below.filter(|&node| tree.node(node).kind.is_directory()));
    }
    (nodes, inodes)
}

/// Marks the blocks of `group` that are in use, as its bitmap.
pub(crate) fn block_bitmap(shape: &Geometry, end: u64, group: u32) -> (Vec<u8>, u64) {
    let (start, count) = (Geometry::group_start(group), shape.group_blocks(group));
    let mut bitmap = vec![0_u8; super::format::BLOCK];
    let mut mark = |run: Run| {
        let (first, last) = (run.start.max(start), run.end().min(start + count));
        for bit in first.saturating_sub(start)..last.saturating_sub(start) {
            bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
        }
    };
    mark(Run { start: 0, len: end });
    for &run in &shape.fixed {
        mark(run);
    }
    let used: u64 = bitmap.iter().map(|byte| u64::from(byte.count_ones())).sum();
    for bit in count..BLOCKS_PER_GROUP {
        bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    (bitmap, count - used)
}
