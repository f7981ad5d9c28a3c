//! A directory of a tree as a tree of its own, for example an image's `/root` as a work seed.

use std::collections::HashMap;

use super::arena::{NodeId, Tree};
use super::attributes::NodeKind;
use super::error::TreeError;

impl Tree {
    /// A new tree whose root is `directory`, with its attributes and all below it. Sources are shared, not copied.
    /// Hard links between files inside stay; names outside are gone.
    ///
    /// # Errors
    /// Fails when `directory` is not a directory.
    pub fn subtree(&self, directory: NodeId) -> Result<Self, TreeError> {
        let top = self.node(directory);
        if !top.kind.is_directory() {
            return Err(TreeError::NotADirectory {
                path: self.path_of(directory),
            });
        }
        let mut copy = Self::new(*top.attributes)?;
        copy.set_xattrs(copy.root(), top.xattrs.to_vec())?;
        copy.sources.clone_from(&self.sources);
        let mut copied: HashMap<NodeId, NodeId> = HashMap::new();
        let mut open = vec![(directory, copy.root())];
        while let Some((from, to)) = open.pop() {
            for child in self.children(from) {
                if let Some(&known) = copied.get(&child.node) {
                    copy.link(to, child.name, known)?;
                    continue;
                }
                let node = self.node(child.node);
                let made = copy.insert(to, child.name, node.kind.clone(), *node.attributes)?;
                copy.set_xattrs(made, node.xattrs.to_vec())?;
                if matches!(node.kind, NodeKind::Directory) {
                    open.push((child.node, made));
                } else if node.links > 1 {
                    copied.insert(child.node, made);
                }
            }
        }
        Ok(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attributes, Contents, NodeKind, Tree, Xattr};

    #[test]
    fn a_subtree_keeps_attributes_links_and_xattrs() {
        let plain = Attributes::root(0o644);
        let mut tree = Tree::new(Attributes::root(0o755)).unwrap();
        let home = tree
            .insert(
                tree.root(),
                b"root",
                NodeKind::Directory,
                Attributes::root(0o700),
            )
            .unwrap();
        let file = tree
            .insert(home, b".bashrc", NodeKind::File(Contents::empty()), plain)
            .unwrap();
        tree.link(home, b".profile", file).unwrap();
        tree.insert(tree.root(), b"etc", NodeKind::Directory, plain)
            .unwrap();
        let label = Xattr {
            name: (*b"user.x").into(),
            value: (*b"1").into(),
        };
        tree.set_xattrs(home, vec![label]).unwrap();

        let seed = tree.subtree(home).unwrap();
        assert_eq!(seed.node(seed.root()).attributes.mode, 0o700);
        assert_eq!(seed.node(seed.root()).xattrs.len(), 1);
        assert_eq!(seed.entry_count(), 2);
        assert_eq!(
            seed.lookup(seed.root(), b".bashrc"),
            seed.lookup(seed.root(), b".profile")
        );
        assert!(tree.subtree(file).is_err(), "a file is no root");
    }
}
