//! An empty file system, kept as its few blocks that are not zeros.

use uuid::Uuid;

use super::emission::{self, Sink};
use super::error::WriteError;
use super::format::BLOCK_BYTES;
use super::geometry::Geometry;
use super::options::{EPOCH, ImageOptions};
use super::plan::Plan;
use super::volume::{JOURNAL_UUID_AT, PRIMARY_OFFSET, SUPERBLOCK, name_superblock, seed_names};
use crate::label::Label;
use crate::tree::{Attributes, Timestamp, Tree, TreeError};

/// Reason why there is no template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file system cannot be laid out.
    #[error(transparent)]
    Layout(#[from] WriteError),
    /// Its root directory is refused.
    #[error(transparent)]
    Root(#[from] TreeError),
}

/// The bytes of an empty file system of one size, without label and UUID.
#[derive(Debug)]
pub(crate) struct Template {
    /// Ascending pieces: (offset, bytes).
    pieces: Vec<(u64, Vec<u8>)>,
    /// Offsets of all superblocks.
    superblocks: Vec<u64>,
    /// Offset of the UUID in the journal's superblock.
    journal_uuid: Option<u64>,
}

struct Memory(Vec<(u64, Vec<u8>)>);

impl Sink for Memory {
    fn put(&mut self, offset: u64, bytes: Vec<u8>) -> Result<(), WriteError> {
        self.0.push((offset, bytes));
        Ok(())
    }
}

impl Template {
    /// The empty file system of `size` bytes, with a journal and a root directory root:root 0755.
    pub(crate) fn new(size: u64, label: Label) -> Result<Self, TemplateError> {
        let tree = Tree::new(Attributes {
            mtime: Timestamp::from_seconds(i64::from(EPOCH)),
            ..Attributes::root(0o755)
        })?;
        let options = ImageOptions::seed(size, label, Uuid::nil());
        let plan = Plan::new(&tree, &options)?;
        let mut memory = Memory(Vec::new());
        emission::emit(&plan, options.label, options.uuid, &mut memory)?;
        let copies = plan
            .shape
            .copies()
            .map(|group| Geometry::group_start(group) * BLOCK_BYTES);
        let journal = plan
            .journal
            .as_ref()
            .and_then(|journal| journal.contents.first());
        Ok(Self {
            pieces: memory.0,
            superblocks: std::iter::once(PRIMARY_OFFSET as u64)
                .chain(copies)
                .collect(),
            journal_uuid: journal
                .map(|first| first.blocks.start * BLOCK_BYTES + JOURNAL_UUID_AT as u64),
        })
    }

    /// The pieces for a disk with this label and UUID.
    pub(crate) fn named(&self, label: Label, uuid: Uuid) -> Vec<(u64, Vec<u8>)> {
        let mut pieces = self.pieces.clone();
        for &offset in &self.superblocks {
            if let Some(raw) = part(&mut pieces, offset, SUPERBLOCK) {
                seed_names(raw, uuid);
                name_superblock(raw, label, uuid);
            }
        }
        if let Some(raw) = self
            .journal_uuid
            .and_then(|offset| part(&mut pieces, offset, 16))
        {
            raw.copy_from_slice(uuid.as_bytes());
        }
        pieces
    }
}

/// The `len` bytes at `offset` of the image.
fn part(pieces: &mut [(u64, Vec<u8>)], offset: u64, len: usize) -> Option<&mut [u8]> {
    let index = pieces
        .partition_point(|(at, _)| *at <= offset)
        .checked_sub(1)?;
    let (at, bytes) = &mut pieces[index];
    let start = (offset - *at) as usize;
    bytes.get_mut(start..start + len)
}
