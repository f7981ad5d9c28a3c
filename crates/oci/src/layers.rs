//! Layers, lowest first, as one tree: whiteouts, opaque directories, links across layers.
//!
//! ```text
//!  for each layer:  1. its whiteouts   take names of the layers below out of the tree
//!                   2. its entries     are added, as those of an archive
//! ```
//! In this order, because a whiteout hides what is below, never what its own layer brings, wherever in the layer it
//! stands (OCI image specification, "Whiteouts").

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use banger_disk::tree::{Source, Tree, TreeError, printable};

use crate::archive::Limits;
use crate::assembly::{Assembly, EntryError, parts};
use crate::tar::{Entry, TarError, TarReader, Trailer};

const WHITEOUT: &[u8] = b".wh.";
/// What one kind of tool writes for itself; only the mark of an opaque directory has a meaning for others.
const PRIVATE: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// One layer: an uncompressed archive whose digest has been verified.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What messages call it: its digest.
    pub name: String,
    /// The file that holds it.
    pub file: Arc<File>,
    /// Where in the file.
    pub range: Range<u64>,
}

/// Why layers give no tree.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A layer is no tar archive, or a broken one.
    #[error("cannot read layer {layer}")]
    Tar {
        /// The layer.
        layer: String,
        /// Why.
        #[source]
        source: TarError,
    },
    /// An entry cannot be taken.
    #[error("cannot take \"{entry}\" of layer {layer}")]
    Entry {
        /// The layer.
        layer: String,
        /// The entry's name, printable.
        entry: String,
        /// Why.
        #[source]
        source: EntryError,
    },
    /// The tree cannot be made.
    #[error("cannot make a tree of layers")]
    Tree(#[from] TreeError),
}

/// The tree of `layers`, lowest first.
///
/// # Errors
/// When a layer is broken or an entry impossible: the error names both.
pub fn merge(layers: &[Layer], limits: Limits) -> Result<Tree, LayerError> {
    let mut assembly = Assembly::new(limits.entries)?;
    for (index, layer) in layers.iter().enumerate() {
        let source = assembly
            .tree()
            .add_source(Source::File(Arc::clone(&layer.file)));
        // The lowest layer has nothing to hide.
        if index > 0 {
            each_entry(layer, |entry| {
                assembly.count()?;
                match whiteout(&entry.path)? {
                    Some(Whiteout { parents, hidden }) => assembly.hide(&parents, hidden),
                    None => Ok(()),
                }
            })?;
        }
        each_entry(layer, |entry| {
            if index == 0 {
                assembly.count()?;
            }
            match whiteout(&entry.path)? {
                Some(_) => Ok(()),
                None => assembly.add(entry, source),
            }
        })?;
    }
    Ok(assembly.into_tree())
}

fn each_entry(
    layer: &Layer,
    mut take: impl FnMut(&Entry) -> Result<(), EntryError>,
) -> Result<(), LayerError> {
    // Its digest told that it is whole, and not all tools write the blocks of zeros at the end.
    let mut reader = TarReader::new(&layer.file, layer.range.clone(), Trailer::Optional);
    loop {
        let entry = reader.next_entry().map_err(|source| LayerError::Tar {
            layer: layer.name.clone(),
            source,
        })?;
        let Some(entry) = entry else {
            return Ok(());
        };
        take(&entry).map_err(|source| LayerError::Entry {
            layer: layer.name.clone(),
            entry: printable(&entry.path),
            source,
        })?;
    }
}

struct Whiteout<'p> {
    parents: Vec<&'p [u8]>,
    hidden: Hidden<'p>,
}

/// What a whiteout hides in its directory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hidden<'p> {
    Name(&'p [u8]),
    Everything,
    /// A mark of some tool that hides nothing.
    Nothing,
}

fn whiteout(path: &[u8]) -> Result<Option<Whiteout<'_>>, EntryError> {
    let mut parents = parts(path)?;
    let Some(name) = parents.pop().filter(|name| name.starts_with(WHITEOUT)) else {
        return Ok(None);
    };
    let hidden = match name {
        OPAQUE => Hidden::Everything,
        _ if name.starts_with(PRIVATE) => Hidden::Nothing,
        _ => match &name[WHITEOUT.len()..] {
            b"" | b"." | b".." => return Err(EntryError::Whiteout),
            hidden => Hidden::Name(hidden),
        },
    };
    Ok(Some(Whiteout { parents, hidden }))
}

impl Assembly {
    /// Takes what a whiteout hides out of the tree. What is not there is hidden already.
    fn hide(&mut self, parents: &[&[u8]], hidden: Hidden<'_>) -> Result<(), EntryError> {
        let Some(directory) = self.existing_directory(parents)? else {
            return Ok(());
        };
        match hidden {
            Hidden::Name(name) => {
                self.tree().remove(directory, name);
            }
            Hidden::Everything => self.tree().remove_children(directory),
            Hidden::Nothing => {}
        }
        Ok(())
    }
}
