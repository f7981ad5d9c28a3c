//! The image as bytes in ascending order: tables at fixed places, merged with the blocks that the plan placed.

use uuid::Uuid;

use super::contents::ContentReader;
use super::directory::{self, Entry};
use super::error::WriteError;
use super::extents;
use super::format::{BLOCK, BLOCK_BYTES, INODE_BLOCK_AREA, JOURNAL_INODE};
use super::geometry::Geometry;
use super::groups::{Groups, inode_bitmap};
use super::inode_table::{self, each_block, file_type};
use super::plan::{Blocks, Plan, block_bitmap};
use super::volume::{PRIMARY_OFFSET, SUPERBLOCK, Totals, journal_superblock, superblock};
use crate::label::Label;
use crate::tree::{NodeId, NodeKind};

/// Bytes that are gathered before they go to the sink.
const CHUNK: usize = 1 << 20;

/// Receives pieces of the image: ascending, not overlapping. The gaps between them are zeros.
pub(crate) trait Sink {
    /// Receives `bytes` for `offset`.
    fn put(&mut self, offset: u64, bytes: Vec<u8>) -> Result<(), WriteError>;

    /// An empty buffer for the next piece: a used one if there is one.
    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// A structure at a fixed place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Head(u32),
    BlockBitmap(u32),
    InodeBitmap(u32),
    Inodes(u32),
}

/// Writes the image of `plan` to `sink`.
pub(crate) fn emit(
    plan: &Plan<'_>,
    label: Label,
    uuid: Uuid,
    sink: &mut impl Sink,
) -> Result<(), WriteError> {
    let groups = Groups::of(plan);
    let mut emission = Emission {
        totals: Totals {
            free_blocks: groups.free_blocks,
            free_inodes: groups.free_inodes,
            journal: plan.journal.as_ref().map(|journal| {
                let blocks = journal
                    .contents
                    .iter()
                    .map(|mapping| mapping.blocks.len)
                    .sum();
                (inode_table::journal_area(journal), blocks)
            }),
        },
        tables: tables(&plan.shape, &groups),
        groups,
        plan,
        label,
        uuid,
        sink,
        buffer: Vec::new(),
        buffer_at: 0,
    };
    emission.journal()?;
    for files in [false, true] {
        let mut reader = ContentReader::new(plan.tree);
        for (inode, node) in plan.inodes() {
            if matches!(plan.tree.node(node).kind, NodeKind::File(_)) == files {
                emission.node(inode, node, &mut reader)?;
            }
        }
    }
    emission.tables_before(u64::MAX)?;
    emission.flush()
}

struct Emission<'p, 't, S> {
    plan: &'p Plan<'t>,
    label: Label,
    uuid: Uuid,
    totals: Totals,
    groups: Groups,
    /// (block, table), the next one last.
    tables: Vec<(u64, Table)>,
    sink: &'p mut S,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<S: Sink> Emission<'_, '_, S> {
    fn journal(&mut self) -> Result<(), WriteError> {
        let Some(journal) = &self.plan.journal else {
            return Ok(());
        };
        let blocks: u64 = journal
            .contents
            .iter()
            .map(|mapping| mapping.blocks.len)
            .sum();
        if let Some(first) = journal.contents.first() {
            self.put(first.blocks.start, &journal_superblock(blocks, self.uuid))?;
        }
        self.extent_tree(JOURNAL_INODE, journal)
    }

    fn node(
        &mut self,
        inode: u32,
        node: NodeId,
        reader: &mut ContentReader<'_>,
    ) -> Result<(), WriteError> {
        let plan = self.plan;
        let xattrs = plan.xattrs(node)?;
        let blocks = plan.blocks(inode, node, xattrs.needs_block());
        if let Some(block) = blocks.xattrs {
            self.put(block, &xattrs.block(block))?;
        }
        match plan.tree.node(node).kind {
            NodeKind::Directory => self.directory(inode, node, &blocks)?,
            NodeKind::Symlink(target) if target.len() >= INODE_BLOCK_AREA => {
                let mut block = vec![0; BLOCK];
                block[..target.len()].copy_from_slice(target);
                for at in each_block(blocks.contents.iter().map(|mapping| mapping.blocks)) {
                    self.put(at, &block)?;
                }
            }
            NodeKind::File(contents) => {
                reader.begin(node, contents);
                for mapping in &blocks.contents {
                    let mut run = mapping.blocks;
                    let mut at = mapping.logical * BLOCK_BYTES;
                    while run.len > 0 {
                        let step = run.len.min((CHUNK / BLOCK) as u64);
                        let room = self.room(run.start, step)?;
                        reader.read(room, at)?;
                        at += step * BLOCK_BYTES;
                        run.start += step;
                        run.len -= step;
                    }
                }
            }
            _ => {}
        }
        self.extent_tree(inode, &blocks)
    }

    fn directory(&mut self, inode: u32, node: NodeId, blocks: &Blocks) -> Result<(), WriteError> {
        let plan = self.plan;
        let children = plan.children(node);
        let entries: Vec<Entry<'_>> = children
            .iter()
            .map(|child| Entry {
                name: child.name,
                inode: plan.inode(child.node),
                kind: file_type(plan.tree.node(child.node).kind),
            })
            .collect();
        let parent = plan.inode(plan.tree.parent(node));
        let places: Vec<u64> =
            each_block(blocks.contents.iter().map(|mapping| mapping.blocks)).collect();
        if let [only] = places[..] {
            return self.put(only, &directory::plain(inode, parent, &entries));
        }
        let rendered = directory::indexed(inode, parent, &entries);
        debug_assert_eq!(rendered.len(), places.len());
        for (block, at) in rendered.iter().zip(places) {
            self.put(at, block)?;
        }
        Ok(())
    }

    fn extent_tree(&mut self, inode: u32, blocks: &Blocks) -> Result<(), WriteError> {
        if blocks.extent_tree.is_empty() {
            return Ok(());
        }
        let tree = extents::build(inode, &blocks.contents, &blocks.extent_tree);
        for (block, &at) in tree.nodes.iter().zip(&blocks.extent_tree) {
            self.put(at, block)?;
        }
        Ok(())
    }

    /// Emits all tables that lie before `block`.
    fn tables_before(&mut self, block: u64) -> Result<(), WriteError> {
        while let Some((at, table)) = self.tables.pop_if(|(at, _)| *at < block) {
            match table {
                Table::Head(group) => self.append_table(at, &self.head(group))?,
                Table::BlockBitmap(group) => {
                    let (bitmap, _free) = block_bitmap(&self.plan.shape, self.plan.end, group);
                    self.append_table(at, &bitmap)?;
                }
                Table::InodeBitmap(group) => {
                    self.append_table(at, &inode_bitmap(self.plan, group))?
                }
                Table::Inodes(group) => self.inode_table(at, group)?,
            }
        }
        Ok(())
    }

    /// Emits a table in steps, so that memory holds only a part of one table.
    fn inode_table(&mut self, at: u64, group: u32) -> Result<(), WriteError> {
        let blocks = inode_table::used_blocks(self.plan, group);
        for first in (0..blocks).step_by(CHUNK / BLOCK) {
            let count = (blocks - first).min((CHUNK / BLOCK) as u64);
            let part = inode_table::render(self.plan, group, first, count)?;
            self.append_table(at + first, &part)?;
        }
        Ok(())
    }

    fn append_table(&mut self, at: u64, bytes: &[u8]) -> Result<(), WriteError> {
        self.flush_full()?;
        self.flush_unless_next(at)?;
        self.append(at, bytes.len()).copy_from_slice(bytes);
        Ok(())
    }

    /// Superblock and descriptors of `group`.
    fn head(&self, group: u32) -> Vec<u8> {
        let raw = superblock(&self.plan.shape, &self.totals, self.label, self.uuid, group);
        let at = if group == 0 { PRIMARY_OFFSET } else { 0 };
        let mut head = vec![0; BLOCK];
        head[at..at + SUPERBLOCK].copy_from_slice(&raw);
        head.extend_from_slice(&self.groups.descriptors);
        head
    }

    fn put(&mut self, block: u64, bytes: &[u8]) -> Result<(), WriteError> {
        self.room(block, 1)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Zeros for `count` blocks at `block`, to be filled in place.
    fn room(&mut self, block: u64, count: u64) -> Result<&mut [u8], WriteError> {
        self.tables_before(block)?;
        self.flush_full()?;
        self.flush_unless_next(block)?;
        Ok(self.append(block, (count * BLOCK_BYTES) as usize))
    }

    fn append(&mut self, block: u64, len: usize) -> &mut [u8] {
        debug_assert!(
            self.buffer.is_empty()
                || self.buffer_at + self.buffer.len() as u64 == block * BLOCK_BYTES
        );
        if self.buffer.is_empty() {
            self.buffer_at = block * BLOCK_BYTES;
            self.buffer = self.sink.buffer();
            self.buffer.reserve(2 * CHUNK.max(len));
        }
        let start = self.buffer.len();
        self.buffer.resize(start + len, 0);
        &mut self.buffer[start..]
    }

    fn flush_unless_next(&mut self, block: u64) -> Result<(), WriteError> {
        if self.buffer_at + self.buffer.len() as u64 == block * BLOCK_BYTES {
            return Ok(());
        }
        self.flush()
    }

    fn flush_full(&mut self) -> Result<(), WriteError> {
        if self.buffer.len() < CHUNK {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.buffer);
        self.sink.put(self.buffer_at, bytes)
    }
}

/// All tables that are written, the first one last.
fn tables(shape: &Geometry, groups: &Groups) -> Vec<(u64, Table)> {
    let mut tables = vec![(0, Table::Head(0))];
    tables.extend(
        shape
            .copies()
            .map(|group| (Geometry::group_start(group), Table::Head(group))),
    );
    for (group, (places, &(blocks, inodes))) in (0..).zip(shape.tables.iter().zip(&groups.written))
    {
        if blocks {
            tables.push((places.block_bitmap, Table::BlockBitmap(group)));
        }
        if inodes {
            tables.push((places.inode_bitmap, Table::InodeBitmap(group)));
            tables.push((places.inode_table, Table::Inodes(group)));
        }
    }
    tables.sort_unstable_by(|a, b| b.cmp(a));
    tables
}
