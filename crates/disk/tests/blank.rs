//! Empty disks, checked by e2fsprogs.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod oracle;

use std::path::Path;
use std::process::Command;

use banger_disk::{BlankDisk, BlankError, Templates, sparse, superblock};
use uuid::Uuid;

const GIB: u64 = 1 << 30;

fn disk(size: u64, label: &str, uuid: u128) -> BlankDisk {
    BlankDisk::new(size, label, Uuid::from_u128(uuid)).unwrap()
}

#[test]
fn empty_disks_of_many_sizes_are_clean_and_small() {
    let dir = tempfile::tempdir().unwrap();
    let templates = Templates::new();
    let sizes = [
        16 << 20,
        100_000_000,
        128 << 20,
        (128 << 20) + 4096,
        GIB,
        8 * GIB,
        40 * GIB + 12_345,
        128 * GIB,
    ];
    for size in sizes {
        let path = dir.path().join(size.to_string());
        templates
            .create(&disk(size, "banger-work", 7), &path)
            .unwrap();
        oracle::assert_clean(&path);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), size);
        assert!(sparse::allocated_bytes(&path).unwrap() <= 1 << 20, "{size}");
    }
}

#[test]
fn two_disks_of_one_size_have_their_own_label_and_uuid() {
    let dir = tempfile::tempdir().unwrap();
    let templates = Templates::new();
    for (label, uuid) in [("banger-system", 1), ("banger-work", 2)] {
        let path = dir.path().join(label);
        templates
            .create(&disk(8 * GIB, label, uuid), &path)
            .unwrap();
        oracle::assert_clean(&path);
        let found = superblock::read(&path).unwrap();
        assert_eq!((found.label.as_str(), found.uuid.as_u128()), (label, uuid));
        assert_eq!(found.size, 8 * GIB);
        assert!(found.has_journal && !found.needs_recovery);
        let blkid = Command::new("/sbin/blkid")
            .arg("-p")
            .arg(&path)
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&blkid.stdout).contains(&format!("LABEL=\"{label}\"")));
    }
}

#[test]
fn the_root_of_an_empty_disk_is_a_directory_of_root_with_nothing_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work");
    Templates::new()
        .create(&disk(GIB, "banger-work", 7), &path)
        .unwrap();
    let stat = oracle::debugfs(&path, "stat <2>");
    assert!(
        stat.contains("Type: directory") && stat.contains("Mode:  0755"),
        "{stat}"
    );
    assert!(stat.contains("User:     0   Group:     0"), "{stat}");
    let listing = oracle::debugfs(&path, "ls -p /");
    let names: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split('/').nth(5))
        .collect();
    assert_eq!(names, [".", ".."], "{listing}");
}

#[test]
fn e2fsprogs_grow_an_empty_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work");
    Templates::new()
        .create(&disk(GIB, "banger-work", 7), &path)
        .unwrap();
    sparse::grow(&path, 6 * GIB).unwrap();
    let grown = Command::new("/sbin/resize2fs").arg(&path).output().unwrap();
    assert!(
        grown.status.success(),
        "{}",
        String::from_utf8_lossy(&grown.stderr)
    );
    oracle::assert_clean(&path);
    assert_eq!(superblock::read(&path).unwrap().size, 6 * GIB);
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work");
    std::fs::write(&path, b"the user's data").unwrap();
    let refused = Templates::new().create(&disk(GIB, "banger-work", 7), &path);
    assert!(matches!(refused, Err(BlankError::Create { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"the user's data");
}

#[test]
fn impossible_disks_are_refused_before_a_file_exists() {
    let small = BlankDisk::new(1 << 20, "x", Uuid::nil()).unwrap_err();
    assert!(
        small.to_string().contains("1048576 bytes is too small"),
        "{small}"
    );
    assert!(BlankDisk::new(GIB, "a-label-that-is-too-long", Uuid::nil()).is_err());
    let path = Path::new("/nonexistent/never-made");
    let huge = Templates::new()
        .create(&disk(1 << 45, "x", 1), path)
        .unwrap_err();
    assert!(matches!(huge, BlankError::Layout { .. }), "{huge}");
}
