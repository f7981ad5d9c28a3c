//! Map from an inode to its blocks: a tree of extents, of which four fit the inode.

use super::allocation::Run;
use super::checksum;
use super::format::{BLOCK, INODE_BLOCK_AREA, MAX_EXTENT_BLOCKS, put16, put32};

const MAGIC: u16 = 0xF30A;
const HEADER: usize = 12;
const ENTRY: usize = 12;
/// Entries that fit the inode.
const IN_INODE: usize = (INODE_BLOCK_AREA - HEADER) / ENTRY;
/// Entries that fit a block, its checksum left aside.
const IN_BLOCK: usize = (BLOCK - HEADER - 4) / ENTRY;

/// Blocks of a file in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// First block in the file.
    pub(crate) logical: u64,
    /// Blocks in the image.
    pub(crate) blocks: Run,
}

/// Adds `runs`, which hold the file's blocks from `logical` on, to `mappings`; none is longer than ext4 allows.
pub(crate) fn map(mut logical: u64, runs: &[Run], mappings: &mut Vec<Mapping>) {
    for run in runs {
        let mut start = run.start;
        while start < run.end() {
            let len = (run.end() - start).min(MAX_EXTENT_BLOCKS);
            mappings.push(Mapping {
                logical,
                blocks: Run { start, len },
            });
            start += len;
            logical += len;
        }
    }
}

/// Blocks that the tree of `count` mappings needs beside the inode.
pub(crate) fn tree_blocks(count: usize) -> usize {
    let mut blocks = 0;
    let mut level = count;
    while level > IN_INODE {
        level = level.div_ceil(IN_BLOCK);
        blocks += level;
    }
    blocks
}

/// The encoded tree: the part in the inode, and one block for each of the `places`, in their order.
pub(crate) struct ExtentTree {
    pub(crate) root: [u8; INODE_BLOCK_AREA],
    pub(crate) nodes: Vec<Vec<u8>>,
}

/// Builds the tree of `inode`; `places` has [`tree_blocks`] blocks.
pub(crate) fn build(inode: u32, mappings: &[Mapping], places: &[u64]) -> ExtentTree {
    let seed = checksum::inode_seed(inode);
    let mut level: Vec<[u8; ENTRY]> = mappings.iter().map(leaf).collect();
    let mut first: Vec<u64> = mappings.iter().map(|m| m.logical).collect();
    let mut nodes = Vec::with_capacity(places.len());
    let mut depth = 0;
    while level.len() > IN_INODE {
        let (mut above, mut above_first) = (Vec::new(), Vec::new());
        for (entries, logicals) in level.chunks(IN_BLOCK).zip(first.chunks(IN_BLOCK)) {
            let mut block = vec![0; BLOCK];
            fill(&mut block, entries, IN_BLOCK, depth);
            checksum::seal_extent_block(seed, &mut block);
            above.push(index(logicals[0], places[nodes.len()]));
            above_first.push(logicals[0]);
            nodes.push(block);
        }
        (level, first) = (above, above_first);
        depth += 1;
    }
    let mut root = [0; INODE_BLOCK_AREA];
    fill(&mut root, &level, IN_INODE, depth);
    ExtentTree { root, nodes }
}

fn fill(buffer: &mut [u8], entries: &[[u8; ENTRY]], capacity: usize, depth: u16) {
    put16(buffer, 0, MAGIC);
    put16(buffer, 2, entries.len() as u16);
    put16(buffer, 4, capacity as u16);
    put16(buffer, 6, depth);
    for (slot, entry) in buffer[HEADER..].chunks_exact_mut(ENTRY).zip(entries) {
        slot.copy_from_slice(entry);
    }
}

fn leaf(mapping: &Mapping) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put32(&mut entry, 0, mapping.logical as u32);
    put16(&mut entry, 4, mapping.blocks.len as u16);
    put32(&mut entry, 8, mapping.blocks.start as u32);
    entry
}

fn index(logical: u64, block: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put32(&mut entry, 0, logical as u32);
    put32(&mut entry, 4, block as u32);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_split_where_ext4_must() {
        let mut mappings = Vec::new();
        map(
            5,
            &[Run {
                start: 100,
                len: 40_000,
            }],
            &mut mappings,
        );
        assert_eq!(mappings.len(), 2);
        assert_eq!(mappings[1].logical, 5 + 32768);
        assert_eq!(
            mappings[1].blocks,
            Run {
                start: 100 + 32768,
                len: 7232
            }
        );
    }

    #[test]
    fn trees_take_the_blocks_that_were_counted() {
        for count in [0, 1, 4, 5, 340, 341, 340 * 4, 340 * 4 + 1, 340 * 340 + 7] {
            let mappings: Vec<Mapping> = (0..count as u64)
                .map(|i| Mapping {
                    logical: i * 2,
                    blocks: Run {
                        start: 1000 + i * 3,
                        len: 1,
                    },
                })
                .collect();
            let places: Vec<u64> = (0..tree_blocks(count) as u64).collect();
            let tree = build(12, &mappings, &places);
            assert_eq!(tree.nodes.len(), places.len(), "{count}");
        }
    }
}
