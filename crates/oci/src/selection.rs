//! One directory of a tree, for example an image's own `/root` as the seed of work disks.

use banger_disk::tree::{Tree, TreeError, printable};

/// Failure to take a directory out of a tree.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// There is nothing at the path.
    #[error("there is no \"{path}\" in it")]
    Missing {
        /// The path, printable.
        path: String,
    },
    /// There is no directory of that name but something else, or the tree refuses.
    #[error("cannot take \"{path}\" out of it")]
    Refused {
        /// The path, printable.
        path: String,
        /// Cause of the failure.
        #[source]
        source: TreeError,
    },
}

/// The directory at `path` (such as `/root`) of `tree` as a tree of its own. Links on the way are not followed.
///
/// # Errors
/// The path does not exist, or is no directory.
pub fn directory(tree: &Tree, path: &[u8]) -> Result<Tree, SelectionError> {
    let node = tree
        .lookup_path(path)
        .ok_or_else(|| SelectionError::Missing {
            path: printable(path),
        })?;
    tree.subtree(node)
        .map_err(|source| SelectionError::Refused {
            path: printable(path),
            source,
        })
}
