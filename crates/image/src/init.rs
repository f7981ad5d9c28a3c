//! Init system of a root file system.

use banger_disk::tree::Tree;
use serde::{Deserialize, Serialize};

use crate::lookup::follow;

/// Program that starts the guest's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitSystem {
    /// systemd.
    Systemd,
    /// OpenRC.
    Openrc,
    /// No init system: the agent stays PID 1.
    None,
    /// Unknown: the host does not read a disk image that was copied in; the agent finds out.
    Unknown,
}

impl InitSystem {
    /// The name in lists and in `image.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Openrc => "openrc",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }

    /// Finds the init system by `/sbin/init`. A distribution's container base often has parts of systemd but no
    /// `/sbin/init`, and Alpine's is busybox's, which starts no services without OpenRC: neither counts.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let Some(init) = follow(tree, "sbin/init") else {
            return Self::None;
        };
        if tree.path_of(init).ends_with("/systemd/systemd") {
            Self::Systemd
        } else if follow(tree, "sbin/openrc").is_some() {
            Self::Openrc
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use banger_disk::tree::{Attributes, Contents, NodeKind};

    use super::*;
    use crate::lookup::{folder, split};

    fn tree(entries: &[(&str, Option<&str>)]) -> Tree {
        let mut tree = Tree::new(Attributes::root(0o755)).unwrap();
        for (path, target) in entries {
            let (parent, name) = split(path);
            let parent = folder(&mut tree, parent, Attributes::root(0o755)).unwrap();
            let kind = target.map_or(NodeKind::File(Contents::empty()), |to| {
                NodeKind::Symlink(to.as_bytes().into())
            });
            tree.insert(parent, name.as_bytes(), kind, Attributes::root(0o755))
                .unwrap();
        }
        tree
    }

    #[test]
    fn the_init_system_is_what_sbin_init_leads_to() {
        let merged = [
            ("usr/lib/systemd/systemd", None),
            ("lib", Some("usr/lib")),
            ("sbin", Some("usr/sbin")),
            ("usr/sbin/init", Some("/lib/systemd/systemd")),
        ];
        assert_eq!(InitSystem::of(&tree(&merged)), InitSystem::Systemd);
        assert_eq!(InitSystem::of(&tree(&merged[..1])), InitSystem::None);
        let alpine = [
            ("bin/busybox", None),
            ("sbin/init", Some("/bin/busybox")),
            ("sbin/openrc", None),
        ];
        assert_eq!(InitSystem::of(&tree(&alpine)), InitSystem::Openrc);
        assert_eq!(InitSystem::of(&tree(&alpine[..2])), InitSystem::None);
        assert_eq!(InitSystem::of(&tree(&[])), InitSystem::None);
    }
}
