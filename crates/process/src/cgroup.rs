//! Frozen control groups (cgroups(7)): a container that is paused, or a unit after `systemctl freeze`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than the file of a group ever has, bytes.
const FILE_MAX_BYTES: u64 = 4096;

/// Tells whether one of the groups in the text of `/proc/PID/cgroup` is frozen. A group that cannot be read counts as not frozen:
/// it may belong to a name space of which this process sees only a part.
pub(crate) fn is_frozen(root: &Path, groups: &str) -> bool {
    groups.lines().any(|line| group_is_frozen(root, line))
}

/// One line: `hierarchy:controllers:path`, and `0::path` for version 2.
fn group_is_frozen(root: &Path, line: &str) -> bool {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
        return false;
    };
    let path = path.trim_start_matches('/');
    // A path that leaves the name space is not ours to read.
    if path.split('/').any(|part| part == "..") {
        return false;
    }
    let says = |file: &Path, word: &str| read(file).is_some_and(|text| has_line(&text, word));
    if controllers.is_empty() {
        // Alone, or beside version 1.
        return [root.to_owned(), root.join("unified")]
            .iter()
            .any(|root| says(&root.join(path).join("cgroup.events"), "frozen 1"));
    }
    controllers.split(',').any(|name| name == "freezer") && {
        let file = root.join("freezer").join(path).join("freezer.state");
        says(&file, "FROZEN") || says(&file, "FREEZING")
    }
}

fn has_line(text: &str, word: &str) -> bool {
    text.lines().any(|line| line.trim() == word)
}

fn read(file: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(file).ok()?;
    file.take(FILE_MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn group(root: &Path, dir: &str, file: &str, text: &str) {
        let dir = root.join(dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(file), text).unwrap();
    }

    #[test]
    fn a_frozen_group_is_seen_in_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        group(root, "a", "cgroup.events", "populated 1\nfrozen 1\n");
        group(root, "b", "cgroup.events", "populated 1\nfrozen 0\n");
        group(
            root,
            "unified/u",
            "cgroup.events",
            "populated 1\nfrozen 1\n",
        );
        group(root, "freezer/c", "freezer.state", "FROZEN\n");
        group(root, "freezer/d", "freezer.state", "THAWED\n");
        for (groups, frozen) in [
            ("0::/a\n", true),
            ("0::/b\n", false),
            ("0::/u\n", true),
            ("3:cpu:/x\n7:freezer:/c\n0::/b\n", true),
            ("7:freezer:/d\n", false),
            ("7:cpu,freezer:/c\n", true),
            ("7:cpu:/c\n", false),
        ] {
            assert_eq!(is_frozen(root, groups), frozen, "{groups}");
        }
    }

    #[test]
    fn what_is_cut_foreign_or_not_there_is_not_frozen() {
        let root = tempfile::tempdir().unwrap();
        group(root.path(), "a", "cgroup.events", "frozen 1\n");
        let below = root.path().join("x");
        std::fs::create_dir(&below).unwrap();
        for groups in [
            "", "\n", "0", "0:", "0::", "::", "0::/../a", "0::/none", "a:b",
        ] {
            assert!(!is_frozen(&below, groups), "{groups}");
        }
    }
}
