//! Bitmaps and descriptors of all groups, once the layout is known.

use super::checksum::{self, SEED};
use super::format::{
    BLOCK, BLOCK_BYTES, DESCRIPTOR, FIRST_INODE, GROUP_BLOCK_UNINIT, GROUP_INODE_UNINIT,
    GROUP_INODE_ZEROED,
};
use super::geometry::Geometry;
use super::plan::{Plan, block_bitmap};
use super::volume::{GroupState, descriptor};

/// Contents of the groups of an image.
pub(crate) struct Groups {
    /// The table of descriptors, in whole blocks.
    pub(crate) descriptors: Vec<u8>,
    /// For each group: true if its block bitmap is written, and true if its inode bitmap is.
    pub(crate) written: Vec<(bool, bool)>,
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u64,
}

impl Groups {
    /// Counts the blocks and inodes of `plan`.
    pub(crate) fn of(plan: &Plan<'_>) -> Self {
        let shape = &plan.shape;
        let directories = directories(plan);
        let mut groups = Self {
            descriptors: vec![0; (shape.descriptor_blocks * BLOCK_BYTES) as usize],
            written: Vec::with_capacity(shape.groups as usize),
            free_blocks: 0,
            free_inodes: 0,
        };
        for group in 0..shape.groups {
            let (bitmap, free_blocks) = block_bitmap(shape, plan.end, group);
            let used_inodes = used_inodes(plan, group);
            let free_inodes = shape.inodes_per_group - used_inodes;
            let write_blocks =
                group + 1 == shape.groups || !only_head_in_use(shape, group, free_blocks);
            let write_inodes = used_inodes > 0;
            let mut flags = GROUP_INODE_ZEROED;
            let (mut block_bitmap_sum, mut inode_bitmap_sum) = (0, 0);
            if write_blocks {
                block_bitmap_sum = checksum::crc(SEED, &bitmap) as u16;
            } else {
                flags |= GROUP_BLOCK_UNINIT;
            }
            if write_inodes {
                let covered = (shape.inodes_per_group / 8) as usize;
                inode_bitmap_sum =
                    checksum::crc(SEED, &inode_bitmap(plan, group)[..covered]) as u16;
            } else {
                flags |= GROUP_INODE_UNINIT;
            }
            let state = GroupState {
                free_blocks,
                free_inodes,
                directories: directories[group as usize],
                unused_inodes: free_inodes,
                flags,
                block_bitmap_sum,
                inode_bitmap_sum,
            };
            let raw = descriptor(group, &shape.tables[group as usize], &state);
            let at = group as usize * DESCRIPTOR;
            groups.descriptors[at..at + DESCRIPTOR].copy_from_slice(&raw);
            groups.written.push((write_blocks, write_inodes));
            groups.free_blocks += free_blocks;
            groups.free_inodes += u64::from(free_inodes);
        }
        groups
    }
}

/// Inodes of `group` that are in use: they are handed out in ascending order.
pub(crate) fn used_inodes(plan: &Plan<'_>, group: u32) -> u32 {
    let per_group = plan.shape.inodes_per_group;
    let before = u64::from(group) * u64::from(per_group);
    u64::from(plan.used_inodes())
        .saturating_sub(before)
        .min(u64::from(per_group)) as u32
}

/// The inode bitmap of `group`; bits behind its inodes are set.
pub(crate) fn inode_bitmap(plan: &Plan<'_>, group: u32) -> Vec<u8> {
    let mut bitmap = vec![0_u8; BLOCK];
    let (used, all) = (used_inodes(plan, group), plan.shape.inodes_per_group);
    for bit in (0..used).chain(all..8 * BLOCK as u32) {
        bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    bitmap
}

/// Tells whether only the copies at the start of the group are in use: then the kernel needs no bitmap.
fn only_head_in_use(shape: &Geometry, group: u32, free_blocks: u64) -> bool {
    let head = if shape.copies().any(|copy| copy == group) {
        1 + shape.descriptor_blocks
    } else {
        0
    };
    group > 0 && shape.group_blocks(group) - free_blocks == head
}

/// Directories by group of their inodes.
fn directories(plan: &Plan<'_>) -> Vec<u32> {
    let mut counts = vec![0; plan.shape.groups as usize];
    debug_assert!(FIRST_INODE <= plan.shape.inodes_per_group || plan.shape.groups > 0);
    for (inode, node) in plan.inodes() {
        if plan.tree.node(node).kind.is_directory() {
            counts[((inode - 1) / plan.shape.inodes_per_group) as usize] += 1;
        }
    }
    counts
}
