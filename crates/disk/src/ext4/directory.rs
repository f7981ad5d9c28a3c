//! Blocks of a directory: one plain block when all entries fit, else a hash index over full leaves.
//!
//! ```text
//!  index root (block 0: ".", "..") ──► leaf │ leaf │ …          up to 507 leaves
//!                                  ──► node ──► leaf │ leaf …   above that, one level between
//! ```
//! Logical order of blocks: root, leaves, nodes. Entries of a plain block are sorted by name, those of leaves by hash.

use super::checksum;
use super::format::{BLOCK, DIRECTORY_TAIL, FileType, put16, put32};
use super::name_hash;

/// Bytes of a block that entries may use.
const ROOM: usize = BLOCK - DIRECTORY_TAIL;
/// Offset of the first entry of an index root, in bytes; then the number of entries that fit.
const ROOT_ENTRIES_AT: usize = 0x20;
const ROOT_LIMIT: usize = (BLOCK - ROOT_ENTRIES_AT) / 8 - 1;
/// The same for the index nodes between root and leaves.
const NODE_ENTRIES_AT: usize = 0x8;
const NODE_LIMIT: usize = (BLOCK - NODE_ENTRIES_AT) / 8 - 1;
/// Half MD4 (`hash_version`).
const HALF_MD4: u8 = 1;

/// One entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) inode: u32,
    pub(crate) kind: FileType,
}

/// More entries than an index of two levels holds.
#[derive(Debug)]
pub(crate) struct TooManyEntries;

fn record_len(name: usize) -> usize {
    (8 + name).next_multiple_of(4)
}

/// Tells whether entries with names of these lengths fit one plain block.
pub(crate) fn fits_one_block(names: impl Iterator<Item = usize>) -> bool {
    let dots = 2 * record_len(1);
    dots + names.map(record_len).sum::<usize>() <= ROOM
}

/// Entries in the order of their hashes, cut into leaves.
struct Leaves {
    /// (hash, minor hash, entry)
    order: Vec<(u32, u32, u32)>,
    /// Index in `order` of each leaf's first entry.
    starts: Vec<usize>,
}

impl Leaves {
    fn of<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut order: Vec<(u32, u32, u32)> = names
            .clone()
            .enumerate()
            .map(|(number, name)| {
                let (major, minor) = name_hash::hash(name);
                (major, minor, number as u32)
            })
            .collect();
        order.sort_unstable();
        let lengths: Vec<u8> = names.map(|name| name.len() as u8).collect();
        let (mut starts, mut used) = (vec![0], 0);
        for (position, &(_, _, number)) in order.iter().enumerate() {
            let record = record_len(usize::from(lengths[number as usize]));
            if used + record > ROOM {
                starts.push(position);
                used = 0;
            }
            used += record;
        }
        Self { order, starts }
    }

    fn nodes(&self) -> usize {
        if self.starts.len() <= ROOT_LIMIT {
            0
        } else {
            self.starts.len().div_ceil(NODE_LIMIT)
        }
    }
}

/// Blocks of a directory with an index over `names`.
pub(crate) fn indexed_blocks<'a>(
    names: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<usize, TooManyEntries> {
    let leaves = Leaves::of(names);
    if leaves.nodes() > ROOT_LIMIT {
        return Err(TooManyEntries);
    }
    Ok(1 + leaves.starts.len() + leaves.nodes())
}

/// The block of a directory without an index.
pub(crate) fn plain(inode: u32, parent: u32, entries: &[Entry<'_>]) -> Vec<u8> {
    let dots = [
        Entry {
            name: b".",
            inode,
            kind: FileType::Directory,
        },
        Entry {
            name: b"..",
            inode: parent,
            kind: FileType::Directory,
        },
    ];
    pack(checksum::inode_seed(inode), dots.iter().chain(entries))
}

/// The blocks of a directory with an index.
pub(crate) fn indexed(inode: u32, parent: u32, entries: &[Entry<'_>]) -> Vec<Vec<u8>> {
    let seed = checksum::inode_seed(inode);
    let leaves = Leaves::of(entries.iter().map(|entry| entry.name));
    let ends = leaves
        .starts
        .iter()
        .skip(1)
        .copied()
        .chain([leaves.order.len()]);
    let mut blocks = vec![Vec::new()];
    let mut index: Vec<(u32, u32)> = Vec::with_capacity(leaves.starts.len());
    let mut last_hash = None;
    for (&start, end) in leaves.starts.iter().zip(ends) {
        let hash = leaves.order[start].0;
        // The lowest bit tells the kernel that names with this hash began in the leaf before.
        let continued = u32::from(last_hash == Some(hash));
        index.push((hash | continued, blocks.len() as u32));
        last_hash = leaves.order[start..end].last().map(|entry| entry.0);
        let in_leaf = leaves.order[start..end].iter();
        blocks.push(pack(
            seed,
            in_leaf.map(|&(_, _, number)| &entries[number as usize]),
        ));
    }
    let levels = u8::from(leaves.nodes() > 0);
    if levels > 0 {
        let mut above = Vec::with_capacity(leaves.nodes());
        for group in index.chunks(NODE_LIMIT) {
            above.push((group[0].0, blocks.len() as u32));
            blocks.push(node(seed, group));
        }
        index = above;
    }
    blocks[0] = root(seed, inode, parent, levels, &index);
    blocks
}

fn pack<'e>(seed: u32, entries: impl Iterator<Item = &'e Entry<'e>>) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let (mut at, mut last) = (0, 0);
    for entry in entries {
        let record = record_len(entry.name.len());
        put32(&mut block, at, entry.inode);
        put16(&mut block, at + 4, record as u16);
        block[at + 6] = entry.name.len() as u8;
        block[at + 7] = entry.kind as u8;
        block[at + 8..at + 8 + entry.name.len()].copy_from_slice(entry.name);
        last = at;
        at += record;
    }
    // The last record reaches to the tail.
    put16(&mut block, last + 4, (ROOM - last) as u16);
    put16(&mut block, ROOM + 4, DIRECTORY_TAIL as u16);
    block[ROOM + 7] = 0xDE;
    checksum::seal_directory_block(seed, &mut block);
    block
}

fn root(seed: u32, inode: u32, parent: u32, levels: u8, index: &[(u32, u32)]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    put32(&mut block, 0, inode);
    put16(&mut block, 4, 12);
    block[6] = 1;
    block[7] = FileType::Directory as u8;
    block[8] = b'.';
    put32(&mut block, 0xC, parent);
    put16(&mut block, 0x10, (BLOCK - 12) as u16);
    block[0x12] = 2;
    block[0x13] = FileType::Directory as u8;
    block[0x14..0x16].copy_from_slice(b"..");
    block[0x1C] = HALF_MD4;
    block[0x1D] = 8;
    block[0x1E] = levels;
    fill_index(&mut block, ROOT_ENTRIES_AT, ROOT_LIMIT, index);
    checksum::seal_index_block(seed, &mut block, ROOT_ENTRIES_AT, index.len(), ROOT_LIMIT);
    block
}

fn node(seed: u32, index: &[(u32, u32)]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    put16(&mut block, 4, BLOCK as u16);
    fill_index(&mut block, NODE_ENTRIES_AT, NODE_LIMIT, index);
    checksum::seal_index_block(seed, &mut block, NODE_ENTRIES_AT, index.len(), NODE_LIMIT);
    block
}

/// Fills the entries of an index block. The first entry has no hash: its place holds limit and count.
fn fill_index(block: &mut [u8], at: usize, limit: usize, index: &[(u32, u32)]) {
    for (slot, &(hash, child)) in index.iter().enumerate() {
        put32(block, at + slot * 8, hash);
        put32(block, at + slot * 8 + 4, child);
    }
    put16(block, at, limit as u16);
    put16(block, at + 2, index.len() as u16);
}
