//! Removal of names from a tree, for whiteouts and for entries that a later one replaces.

use super::arena::{NONE, NodeId, Tree};

impl Tree {
    /// Removes `name` from `directory`, with all below it. Files keep the names they have elsewhere.
    /// Returns whether there was such a name.
    pub fn remove(&mut self, directory: NodeId, name: &[u8]) -> bool {
        let Some(entry) = self.find(directory, name) else {
            return false;
        };
        self.remove_entry(entry);
        true
    }

    /// Removes everything in `directory`, not the directory itself.
    pub fn remove_children(&mut self, directory: NodeId) {
        let mut below = vec![directory];
        while let Some(node) = below.pop() {
            let mut next = self.nodes[node.index()].first_child;
            while next != NONE {
                let entry = &self.entries[next as usize];
                let (number, child) = (next, entry.node);
                next = entry.next_sibling;
                if child != NONE {
                    self.drop_name(number);
                    below.push(NodeId(child));
                }
            }
            let emptied = &mut self.nodes[node.index()];
            emptied.first_child = NONE;
            emptied.last_child = NONE;
        }
    }

    fn remove_entry(&mut self, number: u32) {
        let node = NodeId(self.entries[number as usize].node);
        self.drop_name(number);
        if self.nodes[node.index()].kind.is_directory() {
            self.remove_children(node);
        }
    }

    fn drop_name(&mut self, number: u32) {
        self.forget(number);
        let entry = &mut self.entries[number as usize];
        self.nodes[entry.node as usize].links -= 1;
        entry.node = NONE;
        self.live_entries -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attributes, Contents, NodeKind, Tree, TreeError};

    fn tree() -> Tree {
        Tree::new(Attributes::root(0o755)).unwrap()
    }

    #[test]
    fn a_removed_directory_takes_all_below_it_and_its_name_is_free_again() {
        let mut tree = tree();
        let root = tree.root();
        let plain = Attributes::root(0o755);
        let a = tree.insert(root, b"a", NodeKind::Directory, plain).unwrap();
        let b = tree.insert(a, b"b", NodeKind::Directory, plain).unwrap();
        let file = NodeKind::File(Contents::empty());
        let kept = tree.insert(b, b"c", file.clone(), plain).unwrap();
        tree.link(root, b"kept", kept).unwrap();

        assert!(tree.remove(root, b"a"));
        assert!(!tree.remove(root, b"a"));
        assert_eq!(tree.lookup_path(b"/a/b/c"), None);
        assert_eq!(tree.node(kept).links, 1);
        assert_eq!(tree.entry_count(), 1);

        let again = tree.insert(root, b"a", file, plain).unwrap();
        assert_eq!(tree.lookup(root, b"a"), Some(again));
    }

    #[test]
    fn an_emptied_directory_can_be_filled_again() {
        let mut tree = tree();
        let root = tree.root();
        for name in [b"x", b"y"] {
            tree.insert(root, name, NodeKind::Fifo, Attributes::root(0o600))
                .unwrap();
        }
        tree.remove_children(root);
        assert_eq!(tree.children(root).count(), 0);
        tree.insert(root, b"z", NodeKind::Socket, Attributes::root(0o600))
            .unwrap();
        let names: Vec<_> = tree.children(root).map(|child| child.name).collect();
        assert_eq!(names, [b"z"]);
    }

    #[test]
    fn a_tree_meets_its_limit_before_the_memory_does() {
        let mut tree = tree();
        let plain = Attributes::root(0o644);
        let mut made = 0_u32;
        let refused = loop {
            let name = format!("{made:0>200}");
            // A removal frees no budget: the room is not used again.
            tree.remove(
                tree.root(),
                format!("{:0>200}", made.wrapping_sub(1)).as_bytes(),
            );
            match tree.insert(tree.root(), name.as_bytes(), NodeKind::Fifo, plain) {
                Ok(_) => made += 1,
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, TreeError::Limit { .. }), "{refused}");
        assert!((400_000..600_000).contains(&made), "{made}");
    }
}
