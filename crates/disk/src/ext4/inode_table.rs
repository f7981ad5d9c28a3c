//! Inodes of a planned image, rendered when their table is written.

use super::allocation::Run;
use super::error::WriteError;
use super::extents;
use super::format::{
    BLOCK_BYTES, FLAG_EXTENTS, FLAG_INDEX, FileType, INODE, INODE_BLOCK_AREA, INODES_PER_BLOCK,
    JOURNAL_INODE, put32,
};
use super::groups::used_inodes;
use super::inode::{Inode, reserved};
use super::options::EPOCH;
use super::plan::{Blocks, Plan};
use super::xattr::XattrPlan;
use crate::tree::{Attributes, DeviceNumber, NodeId, NodeKind, Timestamp};

/// Blocks of the inode table of `group` that hold inodes.
pub(crate) fn used_blocks(plan: &Plan<'_>, group: u32) -> u64 {
    u64::from(used_inodes(plan, group).div_ceil(INODES_PER_BLOCK))
}

/// `count` blocks of the inode table of `group`, from its block `first` on.
pub(crate) fn render(
    plan: &Plan<'_>,
    group: u32,
    first: u64,
    count: u64,
) -> Result<Vec<u8>, WriteError> {
    let mut table = vec![0; (count * BLOCK_BYTES) as usize];
    let before = first as u32 * INODES_PER_BLOCK;
    let used = used_inodes(plan, group)
        .saturating_sub(before)
        .min(count as u32 * INODES_PER_BLOCK);
    let inode = group * plan.shape.inodes_per_group + 1 + before;
    for (inode, slot) in (inode..inode + used).zip(table.chunks_exact_mut(INODE)) {
        slot.copy_from_slice(&render_inode(plan, inode)?);
    }
    Ok(table)
}

/// `i_block` of the journal.
pub(crate) fn journal_area(journal: &Blocks) -> [u8; INODE_BLOCK_AREA] {
    extents::build(JOURNAL_INODE, &journal.contents, &journal.extent_tree).root
}

/// Type of the directory entry for `kind`.
pub(crate) fn file_type(kind: &NodeKind) -> FileType {
    match kind {
        NodeKind::Directory => FileType::Directory,
        NodeKind::File(_) => FileType::Regular,
        NodeKind::Symlink(_) => FileType::Symlink,
        NodeKind::CharDevice(_) => FileType::CharDevice,
        NodeKind::BlockDevice(_) => FileType::BlockDevice,
        NodeKind::Fifo => FileType::Fifo,
        NodeKind::Socket => FileType::Socket,
    }
}

fn render_inode(plan: &Plan<'_>, inode: u32) -> Result<[u8; INODE], WriteError> {
    match (plan.node(inode), &plan.journal) {
        (Some(node), _) => render_node(plan, inode, node),
        (None, Some(journal)) if inode == JOURNAL_INODE => Ok(render_journal(journal)),
        (None, _) => Ok(reserved(inode)),
    }
}

fn render_node(plan: &Plan<'_>, inode: u32, node: NodeId) -> Result<[u8; INODE], WriteError> {
    let looked_at = plan.tree.node(node);
    let xattrs = plan.xattrs(node)?;
    let blocks = plan.blocks(inode, node, xattrs.needs_block());
    let (mut area, mut flags, mut size, mut links) = ([0; INODE_BLOCK_AREA], 0, 0, looked_at.links);
    let mut mapped = |flags: &mut u32| {
        *flags |= FLAG_EXTENTS;
        area = extents::build(inode, &blocks.contents, &blocks.extent_tree).root;
    };
    match looked_at.kind {
        NodeKind::Directory => {
            mapped(&mut flags);
            let count: u64 = blocks
                .contents
                .iter()
                .map(|mapping| mapping.blocks.len)
                .sum();
            size = count * BLOCK_BYTES;
            if count > 1 {
                flags |= FLAG_INDEX;
            }
            let is_directory = |node| plan.tree.node(node).kind.is_directory();
            let below = plan
                .tree
                .children(node)
                .filter(|child| is_directory(child.node))
                .count();
            links = 2 + below as u32;
        }
        NodeKind::File(contents) => {
            mapped(&mut flags);
            size = contents.size();
        }
        NodeKind::Symlink(target) => {
            size = target.len() as u64;
            if target.len() < INODE_BLOCK_AREA {
                area[..target.len()].copy_from_slice(target);
            } else {
                mapped(&mut flags);
            }
        }
        NodeKind::CharDevice(number) | NodeKind::BlockDevice(number) => device(&mut area, *number),
        NodeKind::Fifo | NodeKind::Socket => {}
    }
    Ok(encode(
        inode,
        looked_at.kind,
        looked_at.attributes,
        links,
        size,
        flags,
        area,
        &blocks,
        &xattrs,
    ))
}

#[allow(clippy::too_many_arguments)] // the fields of one inode, gathered by its only caller
fn encode(
    inode: u32,
    kind: &NodeKind,
    attributes: &Attributes,
    links: u32,
    size: u64,
    flags: u32,
    area: [u8; INODE_BLOCK_AREA],
    blocks: &Blocks,
    xattrs: &XattrPlan,
) -> [u8; INODE] {
    Inode {
        kind: file_type(kind),
        attributes: *attributes,
        links,
        size,
        blocks: blocks.count(),
        flags,
        area,
        xattr_block: blocks.xattrs.unwrap_or(0),
        xattrs: &xattrs.in_inode,
    }
    .encode(inode)
}

fn render_journal(journal: &Blocks) -> [u8; INODE] {
    let blocks: u64 = journal
        .contents
        .iter()
        .map(|mapping| mapping.blocks.len)
        .sum();
    Inode {
        kind: FileType::Regular,
        attributes: Attributes {
            mtime: Timestamp::from_seconds(i64::from(EPOCH)),
            ..Attributes::root(0o600)
        },
        links: 1,
        size: blocks * BLOCK_BYTES,
        blocks: journal.count(),
        flags: FLAG_EXTENTS,
        area: journal_area(journal),
        xattr_block: 0,
        xattrs: &[],
    }
    .encode(JOURNAL_INODE)
}

/// Device numbers in the kernel's old form when they are small, else in the new one.
fn device(area: &mut [u8; INODE_BLOCK_AREA], number: DeviceNumber) {
    let DeviceNumber { major, minor } = number;
    if major < 256 && minor < 256 {
        put32(area, 0, major << 8 | minor);
    } else {
        put32(area, 4, (minor & 0xFF) | major << 8 | (minor & !0xFF) << 12);
    }
}

/// Every block of `runs`, in order.
pub(crate) fn each_block(runs: impl Iterator<Item = Run>) -> impl Iterator<Item = u64> {
    runs.flat_map(|run| run.start..run.end())
}
