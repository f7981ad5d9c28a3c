//! Reads the contents of files into the blocks of an image.

use super::error::WriteError;
use crate::tree::{Contents, Extent, NodeId, OpenSource, SourceId, Tree};

/// Reads one file after the other, each from its start to its end.
pub(crate) struct ContentReader<'t> {
    tree: &'t Tree,
    node: NodeId,
    /// Extents of the file that are not read to their end, ascending.
    extents: std::vec::IntoIter<Extent>,
    current: Option<Extent>,
    /// The source that was read last: neighbours mostly share one.
    open: Option<(SourceId, OpenSource)>,
}

impl<'t> ContentReader<'t> {
    /// A reader of files of `tree`.
    pub(crate) fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            node: tree.root(),
            extents: Vec::new().into_iter(),
            current: None,
            open: None,
        }
    }

    /// Turns to the file `node`.
    pub(crate) fn begin(&mut self, node: NodeId, contents: &Contents) {
        self.node = node;
        self.extents = contents.extents().collect::<Vec<_>>().into_iter();
        self.current = self.extents.next();
    }

    /// Fills `room`, which holds zeros, with the file's bytes from `at` on; ranges are asked for in ascending order.
    pub(crate) fn read(&mut self, room: &mut [u8], at: u64) -> Result<(), WriteError> {
        let end = at + room.len() as u64;
        while let Some(extent) = self.current.filter(|extent| extent.at < end) {
            let (from, to) = (extent.at.max(at), (extent.at + extent.len).min(end));
            if from < to {
                let part = &mut room[(from - at) as usize..(to - at) as usize];
                self.read_source(extent.source, part, extent.offset + (from - extent.at))?;
            }
            if extent.at + extent.len > end {
                break;
            }
            self.current = self.extents.next();
        }
        Ok(())
    }

    fn read_source(
        &mut self,
        source: SourceId,
        part: &mut [u8],
        offset: u64,
    ) -> Result<(), WriteError> {
        let failed = |source| WriteError::Contents {
            entry: self.tree.path_of(self.node),
            source,
        };
        let open = match &self.open {
            Some((id, open)) if *id == source => open,
            _ => {
                let open = self.tree.source(source).open().map_err(failed)?;
                &self.open.insert((source, open)).1
            }
        };
        open.read_exact_at(part, offset).map_err(failed)
    }
}
