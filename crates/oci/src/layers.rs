//! Layers, lowest first, as one tree: whiteouts, opaque directories, links across layers.
//!
//! ```text
//!  for each layer:  1. its names        hide names of the layers below: whiteouts, opaque directories, links that it
//!                                       replaces; names to which fewer links lead come first
//!                   2. its entries      are added, as those of an archive
//! ```
//! The order is this because a layer hides names of the layers below, never its own, wherever its whiteouts and entries
//! stand (OCI image specification, "Whiteouts"). A link that the layer replaces no longer leads anywhere, as in an
//! overlay, where the upper directory hides the lower link: else a whiteout below it would delete files of another
//! directory. Links that the layer does not name are followed, for entries and whiteouts alike.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use banger_disk::tree::{Source, TreeError, printable};

use crate::archive::Limits;
use crate::assembly::{Assembly, EntryError, Files};
use crate::hiding::Named;
use crate::names::parts;
use crate::tar::{Entry, TarError, TarReader, Trailer};

const WHITEOUT: &[u8] = b".wh.";
/// Prefix of names that one kind of tool keeps for itself; only the mark of an opaque directory concerns others.
const PRIVATE: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// One layer: an uncompressed archive whose digest has been verified.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Name for messages: its digest.
    pub name: String,
    /// The file that holds it.
    pub file: Arc<File>,
    /// Its place in the file.
    pub range: Range<u64>,
}

/// Failure to merge layers into a tree.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A layer is no tar archive, or a broken one.
    #[error("cannot read layer {layer}")]
    Tar {
        /// The layer.
        layer: String,
        /// Cause of the failure.
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
        /// Fault of the entry.
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
/// A layer is broken or an entry impossible: the error names both.
pub fn merge(layers: &[Layer], limits: Limits) -> Result<Files, LayerError> {
    let mut assembly = Assembly::new(limits.entries)?;
    for (index, layer) in layers.iter().enumerate() {
        let source = assembly
            .tree()
            .add_source(Source::File(Arc::clone(&layer.file)));
        // The lowest layer has nothing to hide.
        if index > 0 {
            prepare(&mut assembly, layer)?;
        }
        assembly.begin_layer();
        each_entry(layer, |entry| {
            if index == 0 {
                assembly.count()?;
            }
            match whiteout(&parts(&entry.path)?)? {
                Some(_) => Ok(()),
                None => assembly.add(entry, source),
            }
        })?;
    }
    Ok(assembly.finish()?)
}

/// Removes from the tree the names that `layer` hides. Names to which fewer links lead come first: a link that one of
/// them replaces no longer leads to the others, in any order of the layer's names.
fn prepare(assembly: &mut Assembly, layer: &Layer) -> Result<(), LayerError> {
    let (mut more, mut links) = (true, 0);
    while more {
        more = false;
        each_entry(layer, |entry| {
            if links == 0 {
                assembly.count()?;
            }
            more |= hide(assembly, entry, links)?;
            Ok(())
        })?;
        links += 1;
    }
    Ok(())
}

fn hide(assembly: &mut Assembly, entry: &Entry, links: usize) -> Result<bool, EntryError> {
    let mut parts = parts(&entry.path)?;
    match whiteout(&parts)? {
        None => assembly.prepare(&parts, Named::Entry(entry), links),
        Some(Hidden::Nothing) => Ok(false),
        Some(Hidden::Everything) => {
            parts.pop();
            assembly.prepare(&parts, Named::Opaque, links)
        }
        Some(Hidden::Name(name)) => {
            parts.pop();
            parts.push(name);
            assembly.prepare(&parts, Named::Whiteout, links)
        }
    }
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

/// The names that a whiteout hides in its directory.
#[derive(Debug, Clone, Copy)]
enum Hidden<'p> {
    Name(&'p [u8]),
    Everything,
    /// A mark of some tool that hides nothing.
    Nothing,
}

/// The names that `parts` hides, when it is the name of a whiteout.
fn whiteout<'p>(parts: &[&'p [u8]]) -> Result<Option<Hidden<'p>>, EntryError> {
    let Some(name) = parts.last().filter(|name| name.starts_with(WHITEOUT)) else {
        return Ok(None);
    };
    Ok(Some(match *name {
        OPAQUE => Hidden::Everything,
        _ if name.starts_with(PRIVATE) => Hidden::Nothing,
        _ => match &name[WHITEOUT.len()..] {
            b"" | b"." | b".." => return Err(EntryError::Whiteout),
            hidden => Hidden::Name(hidden),
        },
    }))
}
