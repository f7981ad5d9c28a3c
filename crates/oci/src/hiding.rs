//! Hiding of names in the layers below, before a layer's entries are added.
//!
//! A link that the layer replaces no longer leads anywhere, in any order of the layer's names: as in an overlay, where
//! the upper directory hides the lower link.

use banger_disk::tree::{NodeId, NodeKind};

use crate::assembly::{Assembly, EntryError, IMPLIED, MAX_HOPS};
use crate::names::parts;
use crate::tar::{Entry, EntryKind};

/// Way in which a layer names something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named<'e> {
    /// It brings it.
    Entry(&'e Entry),
    /// It takes it away.
    Whiteout,
    /// It is a directory that hides all of its content in the layers below.
    Opaque,
}

/// End of a way.
enum Lead {
    /// At a directory, behind so many links.
    At(NodeId, usize),
    /// At one link more than may be followed.
    More,
    Missing,
}

impl Assembly {
    /// Removes from the layers below the names that `parts` of the new layer hides, so that nothing
    /// else of the new layer is led there. Only names behind exactly `links` links are treated; returns true when more
    /// lead to this one.
    pub(crate) fn prepare(
        &mut self,
        parts: &[&[u8]],
        named: Named<'_>,
        links: usize,
    ) -> Result<bool, EntryError> {
        let Some((name, parents)) = parts.split_last() else {
            if matches!(named, Named::Opaque) && links == 0 {
                self.tree.remove_children(self.tree.root());
            }
            return Ok(false);
        };
        match self.lead(parents, links) {
            Lead::More if links == MAX_HOPS => Err(EntryError::TooManyLinks),
            Lead::More => Ok(true),
            Lead::At(directory, followed) if followed == links => {
                self.hide(directory, name, named)?;
                Ok(false)
            }
            Lead::At(..) | Lead::Missing => Ok(false),
        }
    }

    /// The directory at `parts` when at most `most` links lead there, and their number.
    fn lead(&self, parts: &[&[u8]], most: usize) -> Lead {
        let mut left: Vec<&[u8]> = parts.iter().rev().copied().collect();
        let (mut at, mut followed) = (self.tree.root(), 0);
        while let Some(part) = left.pop() {
            match part {
                b"" | b"." => continue,
                b".." => {
                    at = self.tree.parent(at);
                    continue;
                }
                _ => {}
            }
            let Some(node) = self.tree.lookup(at, part) else {
                return Lead::Missing;
            };
            match self.tree.node(node).kind {
                NodeKind::Directory => at = node,
                NodeKind::Symlink(_) if followed == most => return Lead::More,
                NodeKind::Symlink(target) => {
                    followed += 1;
                    if target.starts_with(b"/") {
                        at = self.tree.root();
                    }
                    left.extend(target.split(|&byte| byte == b'/').rev());
                }
                _ => return Lead::Missing,
            }
        }
        Lead::At(at, followed)
    }

    fn hide(&mut self, directory: NodeId, name: &[u8], named: Named<'_>) -> Result<(), EntryError> {
        let Some(node) = self.tree.lookup(directory, name) else {
            return Ok(());
        };
        let link = match self.tree.node(node).kind {
            NodeKind::Symlink(target) => Some(&target[..]),
            _ => None,
        };
        match named {
            Named::Whiteout => {
                self.tree.remove(directory, name);
            }
            Named::Entry(entry) => {
                // A link that is written again unchanged keeps its target.
                let is_the_same = match &entry.kind {
                    EntryKind::Symlink(target) => link == Some(target),
                    EntryKind::HardLink(target) => parts(target)? == parts(&entry.path)?,
                    _ => false,
                };
                if link.is_some() && !is_the_same {
                    self.tree.remove(directory, name);
                }
            }
            Named::Opaque if link.is_some() => {
                self.tree.remove(directory, name);
                self.tree
                    .insert(directory, name, NodeKind::Directory, IMPLIED)?;
            }
            Named::Opaque => self.tree.remove_children(node),
        }
        Ok(())
    }
}
