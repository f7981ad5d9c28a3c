//! Work disks that are written from a work seed instead of cloned, checked by e2fsck and debugfs.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use banger_image::{Destination, RootFs, SeedFrom, Watch, WorkSeed, register, write_work_disk};

const FULL_SIZE: u64 = 8 << 30;

/// An image whose work seed comes from `seed`.
fn image_with(seed: &Path) -> tempfile::TempDir {
    let (system, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(system.path().join("etc")).unwrap();
    fs::write(system.path().join("etc/hostname"), "image").unwrap();
    let root = RootFs {
        rootfs: system.path().to_path_buf(),
        seed: WorkSeed {
            from: SeedFrom::Path(seed.to_path_buf()),
            size: None,
        },
    };
    let destination = Destination {
        folder: folder.path(),
        created_at: "2026-05-01T00:00:00Z".parse().unwrap(),
    };
    let scratch = tempfile::tempdir().unwrap();
    register(
        &root,
        &destination,
        scratch.path(),
        &mut Watch::new(&mut |_| {}, &|| false),
    )
    .unwrap();
    folder
}

fn run(program: &str, arguments: &[&str], image: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(image)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {told}");
    told
}

#[test]
fn a_work_disk_of_a_small_seed_has_its_files_and_its_full_size_at_once() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".profile"), "hello").unwrap();
    let image = image_with(home.path());
    let disk = image.path().join("work.img");

    assert!(write_work_disk(image.path(), &disk, FULL_SIZE).unwrap());

    run("e2fsck", &["-fn"], &disk);
    assert_eq!(run("debugfs", &["-R", "cat /.profile"], &disk), "hello");
    let blocks: u64 = run("dumpe2fs", &["-h"], &disk)
        .lines()
        .find_map(|line| line.strip_prefix("Block count:"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap();
    assert_eq!(blocks * 4096, FULL_SIZE, "nothing is left to grow");
    assert_eq!(fs::metadata(&disk).unwrap().len(), FULL_SIZE);
}

#[test]
fn the_seed_that_others_made_is_left_to_the_guest() {
    let home = tempfile::tempdir().unwrap();
    let own = home.path().join("own.ext4");
    File::create(&own).unwrap().set_len(64 << 20).unwrap();
    run("mke2fs", &["-q", "-t", "ext4"], &own);
    let image = image_with(&own);
    let disk = image.path().join("work.img");

    assert!(!write_work_disk(image.path(), &disk, FULL_SIZE).unwrap());
    assert!(!disk.exists());
}

#[test]
fn a_large_seed_and_one_of_the_size_asked_for_are_cloned() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("large"), vec![7; 5 << 20]).unwrap();
    let large = image_with(home.path());
    let disk = large.path().join("work.img");
    assert!(!write_work_disk(large.path(), &disk, FULL_SIZE).unwrap());

    fs::write(home.path().join("large"), "small").unwrap();
    let small = image_with(home.path());
    let disk = small.path().join("work.img");
    let size = fs::metadata(small.path().join("seed.ext4")).unwrap().len();
    assert!(!write_work_disk(small.path(), &disk, size).unwrap());
    assert!(!disk.exists());
}
