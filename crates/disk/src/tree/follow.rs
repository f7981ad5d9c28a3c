//! Paths in a tree. Links are followed as the guest's kernel will follow them: never out of the tree.

use super::arena::{NodeId, Tree};
use super::attributes::NodeKind;

/// Links followed on one path, as in path_resolution(7).
const MAX_LINKS: usize = 40;

impl Tree {
    /// The node at `path`, links followed; `None` if nothing is there or links form a circle.
    pub fn follow(&self, path: &[u8]) -> Option<NodeId> {
        let mut left: Vec<Vec<u8>> = parts(path);
        let (mut at, mut links) = (self.root(), 0);
        while let Some(name) = left.pop() {
            if name == b".." {
                at = self.parent(at);
                continue;
            }
            let next = self.lookup(at, &name)?;
            if let NodeKind::Symlink(target) = self.node(next).kind {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                if target.starts_with(b"/") {
                    at = self.root();
                }
                left.extend(parts(target));
            } else {
                at = next;
            }
        }
        Some(at)
    }
}

/// Names on a path, the last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".");
    names.map(<[u8]>::to_vec).rev().collect()
}
