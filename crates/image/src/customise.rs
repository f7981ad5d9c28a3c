//! Applies a recipe's changes to the tree that mmdebstrap made.
//!
//! The changes are made here, on names in memory, and not by scripts in the chroot: they are the same for every build
//! mode, and a test can check them.

use std::sync::Arc;

use banger_disk::ext4::EPOCH;
use banger_disk::tree::{Attributes, Contents, NodeKind, Source, Timestamp, Tree, TreeError};

use crate::error::ImageError;
use crate::lookup::{folder, follow, split};
use crate::recipe::TreeChanges;

const UNITS: &str = "etc/systemd/system";
const GENERATORS: &str = "etc/systemd/system-generators";
const NOTHING: &str = "/dev/null";

/// Applies all changes.
pub(crate) fn customise(tree: &mut Tree, changes: &TreeChanges) -> Result<(), ImageError> {
    for pattern in &changes.remove {
        remove(tree, pattern);
    }
    for path in &changes.empty {
        put(tree, path, NodeKind::File(Contents::empty()), 0o644)?;
    }
    for unit in &changes.mask {
        link(tree, &format!("{UNITS}/{unit}"), NOTHING)?;
    }
    for generator in &changes.mask_generators {
        link(tree, &format!("{GENERATORS}/{generator}"), NOTHING)?;
    }
    for new in &changes.links {
        link(tree, &new.path, &new.target)?;
    }
    for new in &changes.files {
        let bytes: Arc<[u8]> = new.content.as_bytes().into();
        let length = bytes.len() as u64;
        let source = tree.add_source(Source::Bytes(bytes));
        put(
            tree,
            &new.path,
            NodeKind::File(Contents::whole(source, 0, length)),
            new.mode,
        )?;
    }
    Ok(())
}

fn link(tree: &mut Tree, path: &str, target: &str) -> Result<(), ImageError> {
    put(
        tree,
        path,
        NodeKind::Symlink(target.as_bytes().into()),
        0o777,
    )
}

/// Puts a node at a path and replaces any older one.
fn put(tree: &mut Tree, path: &str, kind: NodeKind, mode: u16) -> Result<(), ImageError> {
    let inserted = put_new(tree, path, kind, mode);
    inserted.map_err(|source| ImageError::Change {
        path: path.to_owned(),
        source,
    })
}

fn put_new(tree: &mut Tree, path: &str, kind: NodeKind, mode: u16) -> Result<(), TreeError> {
    let (parent, name) = split(path);
    let parent = folder(tree, parent, attributes(0o755))?;
    tree.remove(parent, name.as_bytes());
    tree.insert(parent, name.as_bytes(), kind, attributes(mode))
        .map(drop)
}

/// Attributes for root's files, with the time that all files of the build have.
fn attributes(mode: u16) -> Attributes {
    Attributes {
        mtime: Timestamp::from_seconds(EPOCH.into()),
        ..Attributes::root(mode)
    }
}

/// Removes every name in a folder that matches the pattern, if any.
fn remove(tree: &mut Tree, pattern: &str) {
    let (parent, pattern) = split(pattern);
    let Some(parent) = follow(tree, parent) else {
        return;
    };
    let names: Vec<Vec<u8>> = tree
        .children(parent)
        .map(|child| child.name.to_vec())
        .filter(|name| matches(pattern, name))
        .collect();
    for name in names {
        tree.remove(parent, &name);
    }
}

/// One `*` stands for any part of the name.
fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.split_once('*') {
        None => pattern.as_bytes() == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len()
                && name.starts_with(start.as_bytes())
                && name.ends_with(end.as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{NewFile, NewLink, Recipe};

    fn tree() -> Tree {
        let mut tree = Tree::new(Attributes::root(0o755)).unwrap();
        for path in [
            "etc/ssh/ssh_host_rsa_key",
            "etc/ssh/sshd_config",
            "etc/hostname",
            "var/lib/apt/lists/a/b",
            "var/log/dpkg.log",
        ] {
            put(&mut tree, path, NodeKind::File(Contents::empty()), 0o600).unwrap();
        }
        put(
            &mut tree,
            "etc/resolv.conf",
            NodeKind::Symlink(b"../run/missing".as_slice().into()),
            0o777,
        )
        .unwrap();
        tree
    }

    fn target(tree: &Tree, path: &str) -> Option<String> {
        match tree.node(tree.lookup_path(path.as_bytes())?).kind {
            NodeKind::Symlink(target) => Some(String::from_utf8_lossy(target).into_owned()),
            _ => None,
        }
    }

    #[test]
    fn the_default_recipe_leaves_nothing_of_the_build_or_of_one_machine() {
        let mut tree = tree();
        customise(&mut tree, &Recipe::find("debian-bookworm").unwrap().tree).unwrap();
        for gone in [
            "etc/ssh/ssh_host_rsa_key",
            "etc/hostname",
            "var/lib/apt/lists/a",
            "var/log/dpkg.log",
        ] {
            assert!(tree.lookup_path(gone.as_bytes()).is_none(), "{gone}");
        }
        assert!(tree.lookup_path(b"etc/ssh/sshd_config").is_some());
        let resolv = tree.lookup_path(b"etc/resolv.conf").unwrap();
        assert_eq!(
            tree.node(resolv).kind,
            &NodeKind::File(Contents::empty()),
            "a plain file in place of the link"
        );
        assert_eq!(
            target(&tree, "etc/systemd/system/apt-daily.timer").as_deref(),
            Some("/dev/null")
        );
        let generator = "etc/systemd/system-generators/systemd-getty-generator";
        assert_eq!(target(&tree, generator).as_deref(), Some("/dev/null"));
    }

    #[test]
    fn files_and_links_replace_what_is_there() {
        let mut tree = tree();
        let changes = TreeChanges {
            files: vec![NewFile {
                path: "etc/hostname".into(),
                content: "x\n".into(),
                mode: 0o640,
            }],
            links: vec![NewLink {
                path: "etc/ssh".into(),
                target: "elsewhere".into(),
            }],
            ..TreeChanges::default()
        };
        customise(&mut tree, &changes).unwrap();
        let hostname = tree.node(tree.lookup_path(b"etc/hostname").unwrap());
        assert_eq!(hostname.attributes.mode, 0o640);
        assert!(matches!(hostname.kind, NodeKind::File(contents) if contents.size() == 2));
        assert_eq!(target(&tree, "etc/ssh").as_deref(), Some("elsewhere"));
    }

    #[test]
    fn a_star_stands_for_any_part_of_one_name() {
        assert!(
            matches("ssh_host_*", b"ssh_host_rsa_key")
                && matches("*.log", b".log")
                && matches("*", b"\xff")
        );
        assert!(!matches("a*a", b"a") && !matches("ssh_host_*", b"ssh") && !matches("x", b"xx"));
    }
}
