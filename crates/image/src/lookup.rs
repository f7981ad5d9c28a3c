//! Paths in a tree, links followed as the guest's kernel will follow them: never out of the tree.

use banger_disk::tree::{Attributes, NodeId, NodeKind, Tree, TreeError};

/// Links followed on one path, as in path_resolution(7).
const LINKS_MAX: usize = 40;

/// What lies at `path` in the tree, links followed; `None` when there is nothing or a link goes round in circles.
pub(crate) fn follow(tree: &Tree, path: &str) -> Option<NodeId> {
    let mut left: Vec<Vec<u8>> = parts(path.as_bytes());
    let (mut at, mut links) = (tree.root(), 0);
    while let Some(name) = left.pop() {
        if name == b".." {
            at = tree.parent(at);
            continue;
        }
        let next = tree.lookup(at, &name)?;
        if let NodeKind::Symlink(target) = tree.node(next).kind {
            links += 1;
            if links > LINKS_MAX {
                return None;
            }
            if target.starts_with(b"/") {
                at = tree.root();
            }
            left.extend(parts(target));
        } else {
            at = next;
        }
    }
    Some(at)
}

/// Names on a path, the last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".");
    names.map(<[u8]>::to_vec).rev().collect()
}

/// The folder that `path` names, links followed, made (root:root 0755) where it is missing.
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
