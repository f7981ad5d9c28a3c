//! Folders of the host, as trees and as images.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod forge;

use std::fs::{self, File, Permissions};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use banger_disk::tree::{NodeKind, Tree};
use banger_disk::{ImageOptions, Label, WriteError, write_tree};
use banger_oci::{HostDirError, directory, tree_from_dir};
use forge::told;

fn folder(root: &Path) {
    fs::create_dir_all(root.join("root/.config")).unwrap();
    fs::write(root.join("root/.bashrc"), b"alias ll='ls -l'\n").unwrap();
    fs::hard_link(root.join("root/.bashrc"), root.join("root/.profile")).unwrap();
    fs::set_permissions(root.join("root"), Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(root.join("root/.bashrc"), Permissions::from_mode(0o2750)).unwrap();
    symlink("../nowhere", root.join("dangling")).unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), b"").unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    sparse.write_all_at(&[5; 4096], 20 << 20).unwrap();
}

fn write(tree: &Tree, path: &Path) -> Result<[u8; 32], WriteError> {
    let options = ImageOptions::base(Label::new("folder").unwrap());
    let written = write_tree(tree, path, &options, &mut |_| ControlFlow::Continue(()))?;
    Ok(written.digest.unwrap())
}

#[test]
fn a_folder_arrives_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("folder");
    folder(&root);
    let tree = tree_from_dir(&root).unwrap().tree;
    assert_eq!(tree.entry_count(), 7);
    let bashrc = tree.node(tree.lookup_path(b"root/.bashrc").unwrap());
    let metadata = fs::metadata(root.join("root/.bashrc")).unwrap();
    assert_eq!((bashrc.attributes.mode, bashrc.links), (0o2750, 2));
    assert_eq!(
        (bashrc.attributes.uid, bashrc.attributes.gid),
        (metadata.uid(), metadata.gid())
    );
    let time = bashrc.attributes.mtime;
    assert_eq!(
        (time.seconds, i64::from(time.nanoseconds)),
        (metadata.mtime(), metadata.mtime_nsec())
    );
    let dangling = tree.node(tree.lookup_path(b"dangling").unwrap());
    assert_eq!(dangling.kind, &NodeKind::Symlink((*b"../nowhere").into()));
    assert!(tree.lookup_path(b"caf\xe9").is_some());
    let NodeKind::File(sparse) = tree.node(tree.lookup_path(b"sparse").unwrap()).kind else {
        panic!("no file");
    };
    assert_eq!(sparse.size(), 40 << 20);
    assert!(
        sparse.extents().map(|extent| extent.len).sum::<u64>() < 1 << 20,
        "the hole is kept"
    );
}

#[test]
fn a_folder_and_one_directory_of_it_become_images_that_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("folder");
    folder(&root);
    let tree = tree_from_dir(&root).unwrap().tree;
    let first = write(&tree, &dir.path().join("first")).unwrap();
    let second = write(
        &tree_from_dir(&root).unwrap().tree,
        &dir.path().join("second"),
    )
    .unwrap();
    assert_eq!(first, second);
    let seed = directory(&tree, b"/root").unwrap();
    assert_eq!(seed.node(seed.root()).attributes.mode, 0o700);
    assert_eq!(seed.lookup_path(b".bashrc"), seed.lookup_path(b".profile"));
    write(&seed, &dir.path().join("seed")).unwrap();
    for image in ["first", "seed"] {
        let checked = std::process::Command::new("/sbin/e2fsck")
            .arg("-fn")
            .arg(dir.path().join(image))
            .output()
            .unwrap();
        assert!(checked.status.success(), "{image}");
    }
}

#[test]
fn a_file_that_shrinks_before_the_image_is_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("folder");
    folder(&root);
    let tree = tree_from_dir(&root).unwrap().tree;
    File::options()
        .write(true)
        .open(root.join("root/.bashrc"))
        .unwrap()
        .set_len(3)
        .unwrap();
    let refused = told(&write(&tree, &dir.path().join("image")).unwrap_err());
    assert!(
        refused.starts_with("cannot read the contents of \"/root/.bashrc\""),
        "{refused}"
    );
    assert!(!dir.path().join("image").exists());
}

#[test]
fn a_file_that_becomes_a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("folder");
    folder(&root);
    fs::write(dir.path().join("secret"), [b's'; 100]).unwrap();
    let tree = tree_from_dir(&root).unwrap().tree;
    let path = root.join("root/.bashrc");
    fs::remove_file(&path).unwrap();
    symlink(dir.path().join("secret"), &path).unwrap();
    assert!(matches!(
        write(&tree, &dir.path().join("image")),
        Err(WriteError::Contents { .. })
    ));
}

#[test]
fn what_is_no_folder_or_not_there_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    assert!(matches!(
        tree_from_dir(&file),
        Err(HostDirError::NotADirectory { .. })
    ));
    let missing = tree_from_dir(&dir.path().join("missing")).unwrap_err();
    assert!(missing.to_string().ends_with("missing"), "{missing}");
    let tree = tree_from_dir(dir.path()).unwrap().tree;
    assert_eq!(
        directory(&tree, b"/home").unwrap_err().to_string(),
        "there is no \"/home\" in it"
    );
    assert!(told(&directory(&tree, b"/file").unwrap_err()).ends_with("is not a directory"));
}
