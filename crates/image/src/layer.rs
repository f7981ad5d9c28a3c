//! A tree as one layer: a tar stream in one order, so that equal trees give equal layers.

use std::collections::HashMap;
use std::io::{self, Write};

use banger_disk::tree::{Contents, NodeId, NodeKind, NodeRef, OpenSource, SourceId, Tree};
use banger_tar::{Entry, Kind, Writer, Xattr};
use banger_watch::Cancelled;

use crate::progress::{Stage, Watch};

/// Bytes that are read from a source at once.
const STEP: usize = 1 << 18;
/// Bytes of contents between two progress reports.
const PROGRESS: u64 = 8 << 20;
/// Prefix by which layers mark removals (OCI image specification, "Whiteouts"): no file may have such a name.
const WHITEOUT: &[u8] = b".wh.";

/// Reason why a layer cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The layer cannot be written, or contents cannot be read.
    #[error("cannot write \"{entry}\" as part of a layer")]
    Io {
        /// The path in the tree.
        entry: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A name that marks a removal in a layer.
    #[error("\"{entry}\" cannot be part of a layer: names that begin with .wh. remove files there")]
    Whiteout {
        /// The path in the tree.
        entry: String,
    },
}

impl From<Cancelled> for LayerError {
    fn from(_stopped: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// Writes `tree` as a layer. Sockets, which no archive holds, are left out.
pub(crate) fn write<W: Write>(tree: &Tree, to: W, watch: &mut Watch<'_>) -> Result<W, LayerError> {
    let total = tree.content_bytes();
    let mut told = 0;
    let mut layer = Layer {
        tree,
        writer: Writer::new(to),
        opened: HashMap::new(),
        first_names: HashMap::new(),
        written: 0,
    };
    let root = tree.root();
    layer.entry(root, b"./")?;
    // Paths of directories whose entries are still to be written.
    let mut open = vec![(root, Vec::new())];
    while let Some((directory, path)) = open.pop() {
        let mut children: Vec<_> = tree.children(directory).collect();
        children.sort_by_key(|child| child.name);
        let mut below = Vec::new();
        for child in children {
            watch.check()?;
            if child.name.starts_with(WHITEOUT) {
                let entry = tree.path_of(child.node);
                return Err(LayerError::Whiteout { entry });
            }
            let path = [&path[..], child.name].concat();
            layer.entry(child.node, &path)?;
            if layer.written >= told + PROGRESS {
                told = layer.written;
                watch.report(Stage::Export, "layer", told, total);
            }
            if tree.node(child.node).kind.is_directory() {
                below.push((child.node, [&path[..], b"/"].concat()));
            }
        }
        // The first of them is next.
        open.extend(below.into_iter().rev());
    }
    layer.writer.finish().map_err(|source| LayerError::Io {
        entry: "/".to_owned(),
        source,
    })
}

struct Layer<'t, W> {
    tree: &'t Tree,
    writer: Writer<W>,
    opened: HashMap<SourceId, OpenSource>,
    /// Name under which a file with several names was written.
    first_names: HashMap<NodeId, Vec<u8>>,
    /// Bytes of contents that were written.
    written: u64,
}

impl<W: Write> Layer<'_, W> {
    fn entry(&mut self, node: NodeId, path: &[u8]) -> Result<(), LayerError> {
        self.write(node, path).map_err(|source| LayerError::Io {
            entry: self.tree.path_of(node),
            source,
        })
    }

    fn write(&mut self, node: NodeId, path: &[u8]) -> io::Result<()> {
        let tree = self.tree;
        let found = tree.node(node);
        if found.links > 1 && !found.kind.is_directory() {
            if let Some(first) = self.first_names.get(&node) {
                let first = first.clone();
                return self.header(&found, path, Kind::HardLink(&first), &[]);
            }
            self.first_names.insert(node, path.to_vec());
        }
        let xattrs: Vec<_> = found
            .xattrs
            .iter()
            .map(|xattr| (xattr.name.to_vec(), xattr.value.to_vec()))
            .collect();
        match found.kind {
            NodeKind::Directory => self.header(&found, path, Kind::Directory, &xattrs),
            NodeKind::Symlink(target) => self.header(&found, path, Kind::Symlink(target), &xattrs),
            NodeKind::CharDevice(device) => {
                let kind = Kind::CharDevice(device.major, device.minor);
                self.header(&found, path, kind, &xattrs)
            }
            NodeKind::BlockDevice(device) => {
                let kind = Kind::BlockDevice(device.major, device.minor);
                self.header(&found, path, kind, &xattrs)
            }
            NodeKind::Fifo => self.header(&found, path, Kind::Fifo, &xattrs),
            NodeKind::Socket => Ok(()),
            NodeKind::File(contents) => {
                let pieces: Vec<_> = contents
                    .extents()
                    .map(|extent| (extent.at, extent.len))
                    .collect();
                let size = contents.size();
                let kind = match pieces.iter().map(|(_, len)| len).sum::<u64>() == size {
                    true => Kind::File { size },
                    false => Kind::Sparse {
                        size,
                        pieces: &pieces,
                    },
                };
                self.header(&found, path, kind, &xattrs)?;
                self.contents(contents)
            }
        }
    }

    fn header(
        &mut self,
        node: &NodeRef<'_>,
        path: &[u8],
        kind: Kind<'_>,
        xattrs: &[Xattr],
    ) -> io::Result<()> {
        let attributes = node.attributes;
        self.writer.header(&Entry {
            path,
            kind,
            mode: attributes.mode.into(),
            uid: attributes.uid,
            gid: attributes.gid,
            mtime: (attributes.mtime.seconds, attributes.mtime.nanoseconds),
            xattrs,
        })
    }

    fn contents(&mut self, contents: &Contents) -> io::Result<()> {
        let mut buffer = vec![0; STEP.min(usize::try_from(contents.size()).unwrap_or(STEP))];
        for extent in contents.extents() {
            if !self.opened.contains_key(&extent.source) {
                let opened = self.tree.source(extent.source).open()?;
                self.opened.insert(extent.source, opened);
            }
            let source = &self.opened[&extent.source];
            let mut done = 0;
            while done < extent.len {
                let step = usize::try_from(extent.len - done).unwrap_or(STEP).min(STEP);
                source.read_exact_at(&mut buffer[..step], extent.offset + done)?;
                self.writer.content(&buffer[..step])?;
                done += step as u64;
            }
            self.written += extent.len;
        }
        self.writer.end_content()
    }
}
