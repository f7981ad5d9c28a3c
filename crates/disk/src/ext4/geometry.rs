//! Groups of an image, and the structures with a fixed place in them.
//!
//! ```text
//!  group 0                     group 1          group 3 …        group 16
//!  ┌──┬─────┬────────┬───────┐ ┌──┬─────┬─────┐ ┌──┬─────┬─────┐ ┌────────┬───────┬───┐
//!  │sb│ gdt │bitmaps │inode  │ │sb│ gdt │     │ │sb│ gdt │     │ │bitmaps │inode  │   │
//!  │  │     │of 16   │tables │ │ copies   │   │ │ copies   │   │ │of 16   │tables │   │
//!  └──┴─────┴────────┴───────┘ └──┴─────┴─────┘ └──┴─────┴─────┘ └────────┴───────┴───┘
//! ```

use super::allocation::{Cursor, Run};
use super::error::WriteError;
use super::format::{
    BLOCK_BYTES, BLOCKS_PER_GROUP, DESCRIPTOR, FIRST_INODE, GROUPS_PER_FLEX, INODES_PER_BLOCK,
};

/// Most inodes of a group: one block of bitmap covers them.
const MAX_INODES_PER_GROUP: u64 = 32768;
/// A last group shorter than this has no room for anything beside its own copies.
const SHORTEST_GROUP: u64 = 64;

/// Places of the tables of one group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupTables {
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
}

/// The shape of an image.
#[derive(Debug)]
pub(crate) struct Geometry {
    /// Blocks of the file system.
    pub(crate) blocks: u64,
    /// Groups.
    pub(crate) groups: u32,
    /// Inodes of each group: a multiple of 16.
    pub(crate) inodes_per_group: u32,
    /// Blocks of the table of group descriptors, and of each copy.
    pub(crate) descriptor_blocks: u64,
    /// Tables of each group.
    pub(crate) tables: Vec<GroupTables>,
    /// Everything above, sorted, not overlapping.
    pub(crate) fixed: Vec<Run>,
}

impl Geometry {
    /// The shape of an image of `blocks` blocks with at least `inodes` inodes (reserved ones included).
    pub(crate) fn new(blocks: u64, inodes: u64) -> Result<Self, WriteError> {
        if blocks > u64::from(u32::MAX) {
            return Err(WriteError::TooLarge {
                size: blocks.saturating_mul(BLOCK_BYTES),
            });
        }
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
        let inodes_per_group = inodes
            .max(u64::from(FIRST_INODE))
            .div_ceil(groups)
            .next_multiple_of(u64::from(INODES_PER_BLOCK));
        if inodes_per_group > MAX_INODES_PER_GROUP {
            return Err(WriteError::TooManyInodes {
                inodes,
                size: blocks * BLOCK_BYTES,
            });
        }
        let mut geometry = Self {
            blocks,
            groups: groups as u32,
            inodes_per_group: inodes_per_group as u32,
            descriptor_blocks: (groups * DESCRIPTOR as u64).div_ceil(BLOCK_BYTES),
            tables: Vec::with_capacity(groups as usize),
            fixed: Vec::new(),
        };
        geometry.place_tables();
        Ok(geometry)
    }

    /// The next size at or above `blocks` whose last group is long enough.
    pub(crate) fn round_up(blocks: u64) -> u64 {
        let last = blocks % BLOCKS_PER_GROUP;
        if last > 0 && last < SHORTEST_GROUP {
            blocks - last + SHORTEST_GROUP
        } else {
            blocks
        }
    }

    /// The next size at or below `blocks` whose last group is long enough.
    pub(crate) fn round_down(blocks: u64) -> u64 {
        let last = blocks % BLOCKS_PER_GROUP;
        if blocks > BLOCKS_PER_GROUP && last < SHORTEST_GROUP {
            blocks - last
        } else {
            blocks
        }
    }

    /// All inodes.
    pub(crate) fn inodes(&self) -> u64 {
        u64::from(self.inodes_per_group) * u64::from(self.groups)
    }

    /// Blocks of one group's inode table.
    pub(crate) fn table_blocks(&self) -> u64 {
        u64::from(self.inodes_per_group / INODES_PER_BLOCK)
    }

    /// First block of `group`.
    pub(crate) fn group_start(group: u32) -> u64 {
        u64::from(group) * BLOCKS_PER_GROUP
    }

    /// Blocks of `group`: the last one may be short.
    pub(crate) fn group_blocks(&self, group: u32) -> u64 {
        (self.blocks - Self::group_start(group)).min(BLOCKS_PER_GROUP)
    }

    /// Groups with a copy of the superblock: 1 and the powers of 3, 5 and 7 (`sparse_super`).
    pub(crate) fn copies(&self) -> impl Iterator<Item = u32> {
        (1..self.groups).filter(|&group| has_copy(group))
    }

    /// Blocks that never hold contents, without the journal (`s_overhead_clusters`).
    pub(crate) fn overhead(&self) -> u64 {
        self.fixed.iter().map(|run| run.len).sum()
    }

    /// The first block behind everything that has a fixed place.
    pub(crate) fn fixed_end(&self) -> u64 {
        self.fixed.last().map_or(0, |run| run.end())
    }

    fn place_tables(&mut self) {
        let head = 1 + self.descriptor_blocks;
        let mut heads = vec![Run {
            start: 0,
            len: head,
        }];
        heads.extend(self.copies().map(|group| Run {
            start: Self::group_start(group),
            len: head,
        }));
        let mut fixed = heads.clone();
        let table = self.table_blocks();
        for leader in (0..self.groups).step_by(GROUPS_PER_FLEX as usize) {
            let members = GROUPS_PER_FLEX.min(self.groups - leader) as usize;
            let mut cursor = Cursor::new(&heads, Self::group_start(leader));
            cursor.take(2 * members as u64, &mut fixed);
            let bitmaps: Vec<u64> = {
                let mut again = Cursor::new(&heads, Self::group_start(leader));
                (0..2 * members).map(|_| again.take_one()).collect()
            };
            for member in 0..members {
                let inode_table = cursor.take_together(table);
                fixed.push(Run {
                    start: inode_table,
                    len: table,
                });
                self.tables.push(GroupTables {
                    block_bitmap: bitmaps[member],
                    inode_bitmap: bitmaps[members + member],
                    inode_table,
                });
            }
        }
        fixed.sort_unstable_by_key(|run| run.start);
        self.fixed = merged(&fixed);
    }
}

fn merged(sorted: &[Run]) -> Vec<Run> {
    let mut merged: Vec<Run> = Vec::with_capacity(sorted.len());
    for &run in sorted {
        match merged.last_mut() {
            Some(last) if last.end() == run.start => last.len += run.len,
            _ => merged.push(run),
        }
    }
    merged
}

fn has_copy(group: u32) -> bool {
    let power_of = |base: u32| {
        let mut rest = group;
        while rest.is_multiple_of(base) {
            rest /= base;
        }
        rest == 1
    };
    group == 1 || power_of(3) || power_of(5) || power_of(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_lie_in_group_1_and_the_powers_of_3_5_and_7() {
        let shape = Geometry::new(60 * BLOCKS_PER_GROUP, 1000).unwrap();
        let copies: Vec<u32> = shape.copies().collect();
        assert_eq!(copies, [1, 3, 5, 7, 9, 25, 27, 49]);
    }

    #[test]
    fn fixed_places_never_overlap() {
        for (blocks, inodes) in [
            (2048, 11),
            (33_000, 8000),
            (2 << 20, 1 << 19),
            (3_000_000, 32768 * 40),
        ] {
            let shape = Geometry::new(Geometry::round_up(blocks), inodes).unwrap();
            for pair in shape.fixed.windows(2) {
                assert!(pair[0].end() < pair[1].start, "{blocks}: {pair:?}");
            }
        }
    }

    #[test]
    fn images_that_ext4_cannot_number_are_refused() {
        assert!(matches!(
            Geometry::new(1 << 33, 11),
            Err(WriteError::TooLarge { .. })
        ));
        assert!(matches!(
            Geometry::new(2048, 40_000),
            Err(WriteError::TooManyInodes { .. })
        ));
    }
}
