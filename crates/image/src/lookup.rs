//! Paths in a tree. Links are followed as the guest's kernel will follow them: never out of the tree.

use banger_disk::tree::{Attributes, NodeId, NodeKind, Tree, TreeError};

/// The node at `path` in the tree, links followed; `None` if nothing is there or links form a circle.
pub(crate) fn follow(tree: &Tree, path: &str) -> Option<NodeId> {
    tree.follow(path.as_bytes())
}

/// The folder at `path`, links followed; missing folders are made (root:root 0755).
pub(crate) fn folder(
    tree: &mut Tree,
    path: &str,
    attributes: Attributes,
) -> Result<NodeId, TreeError> {
    if let Some(node) = follow(tree, path) {
        return Ok(node);
    }
    let (parent, name) = split(path);
    let parent = folder(tree, parent, attributes)?;
    // A dangling link in the way is replaced.
    tree.remove(parent, name.as_bytes());
    tree.insert(parent, name.as_bytes(), NodeKind::Directory, attributes)
}

/// `a/b/c` → `a/b`, `c`.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.trim_end_matches('/')
        .rsplit_once('/')
        .unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new(Attributes::root(0o755)).unwrap();
        let folder_attributes = Attributes::root(0o755);
        for path in ["usr/lib/systemd", "usr/sbin", "etc"] {
            folder(&mut tree, path, folder_attributes).unwrap();
        }
        let mut link = |path: &str, target: &str| {
            let (parent, name) = split(path);
            let parent = follow(&tree, parent).unwrap();
            tree.insert(
                parent,
                name.as_bytes(),
                NodeKind::Symlink(target.as_bytes().into()),
                folder_attributes,
            )
            .unwrap();
        };
        link("lib", "usr/lib");
        link("sbin", "/usr/sbin");
        link("usr/sbin/init", "../../lib/systemd");
        link("loop", "loop");
        link("out", "../../../etc");
        tree
    }

    #[test]
    fn links_are_followed_within_the_tree() {
        let tree = tree();
        let path = |path| follow(&tree, path).map(|node| tree.path_of(node));
        assert_eq!(path("sbin/init").as_deref(), Some("/usr/lib/systemd"));
        assert_eq!(
            path("/out").as_deref(),
            Some("/etc"),
            "`..` of the root is the root"
        );
        assert_eq!(path("loop"), None);
        assert_eq!(path("nothing/here"), None);
    }

    #[test]
    fn a_missing_folder_is_made_behind_links() {
        let mut tree = tree();
        let made = folder(&mut tree, "lib/x/y", Attributes::root(0o755)).unwrap();
        assert_eq!(tree.path_of(made), "/usr/lib/x/y");
        assert!(
            folder(&mut tree, "loop/z", Attributes::root(0o755)).is_ok(),
            "a link to nowhere is replaced"
        );
    }
}
