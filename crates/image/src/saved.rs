//! An image of the root that a VM's guest has sent: hostile bytes, read by the same bounded reader as every archive.

use std::path::Path;

use banger_disk::tree::{Contents, NodeKind, Tree};
use banger_oci::Files;

use crate::error::ImageError;
use crate::input::read_archive;
use crate::metadata::{ImageMetadata, OriginKind};
use crate::progress::Watch;
use crate::seed::WorkSeed;
use crate::store::{Destination, Parts, write_image};

/// Files that belong to one VM and that no image may pass on: ids, keys and randomness. These are emptied rather than
/// removed, because programs require the file (machine-id(5)).
const EMPTIED: &[&str] = &["etc/machine-id"];
/// Files of the same kind that are removed.
const REMOVED: &[&str] = &[
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
];
/// Folder of a guest's SSH host keys, and the prefix of their names.
const HOST_KEYS: (&str, &[u8]) = ("etc/ssh", b"ssh_host_");

/// Makes an image of the archive of a VM's root. The VM was made from the image in `image`, whose default command,
/// environment and user the new one takes over.
///
/// # Errors
/// The archive is malformed or has entries that no root can have, or the image cannot be written. The destination
/// then has no `image.json`; the caller removes it.
pub fn from_saved(
    (archive, vm): (&Path, &str),
    image: &Path,
    seed: &WorkSeed,
    destination: &Destination<'_>,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let defaults = ImageMetadata::read(image)?.defaults;
    let Files { mut tree, losses } = read_archive(archive, scratch, watch)?;
    forget(&mut tree)?;
    let seed = seed.read(Some(&tree), scratch, watch)?;
    let parts = Parts {
        defaults,
        warnings: losses.sentences(),
        ..Parts::plain(OriginKind::Vm, vm.to_owned(), seed)
    };
    write_image(&tree, parts, destination, watch)
}

fn forget(tree: &mut Tree) -> Result<(), ImageError> {
    for path in REMOVED.iter().chain(EMPTIED) {
        let Some((folder, name)) = path.rsplit_once('/') else {
            continue;
        };
        // The guest's links are not followed: they could lead to other files.
        let Some(folder) = tree.lookup_path(folder.as_bytes()) else {
            continue;
        };
        let Some(node) = tree.lookup(folder, name.as_bytes()) else {
            continue;
        };
        let attributes = *tree.node(node).attributes;
        tree.remove(folder, name.as_bytes());
        if EMPTIED.contains(path) {
            let empty = NodeKind::File(Contents::empty());
            tree.insert(folder, name.as_bytes(), empty, attributes)
                .map_err(|source| ImageError::Change {
                    path: (*path).to_owned(),
                    source,
                })?;
        }
    }
    let (folder, prefix) = HOST_KEYS;
    if let Some(folder) = tree.lookup_path(folder.as_bytes()) {
        let keys: Vec<Vec<u8>> = tree
            .children(folder)
            .filter(|child| child.name.starts_with(prefix))
            .map(|child| child.name.to_vec())
            .collect();
        for key in keys {
            tree.remove(folder, &key);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use banger_disk::tree::Attributes;

    use super::*;
    use crate::lookup::{folder, follow, split};

    #[test]
    fn what_is_a_vms_own_stays_with_it() {
        let mut tree = Tree::new(Attributes::root(0o755)).unwrap();
        let source = tree.add_source(banger_disk::tree::Source::Bytes((*b"secret").into()));
        for path in [
            "etc/machine-id",
            "etc/hosts",
            "etc/ssh/ssh_host_ed25519_key",
            "etc/ssh/sshd_config",
            "var/lib/systemd/random-seed",
        ] {
            let (parent, name) = split(path);
            let parent = folder(&mut tree, parent, Attributes::root(0o755)).unwrap();
            let kind = NodeKind::File(Contents::whole(source, 0, 6));
            tree.insert(parent, name.as_bytes(), kind, Attributes::root(0o644))
                .unwrap();
        }
        forget(&mut tree).unwrap();
        let size = |path: &str| match tree.node(follow(&tree, path)?).kind {
            NodeKind::File(contents) => Some(contents.size()),
            _ => None,
        };
        assert_eq!(size("etc/machine-id"), Some(0));
        assert_eq!(size("etc/ssh/ssh_host_ed25519_key"), None);
        assert_eq!(size("var/lib/systemd/random-seed"), None);
        assert_eq!(size("etc/ssh/sshd_config"), Some(6));
        assert_eq!(size("etc/hosts"), Some(6));
    }
}
