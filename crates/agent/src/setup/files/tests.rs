use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use banger_guest::Content;

use super::*;

fn guest() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    root
}

fn path(text: &str) -> GuestPath {
    GuestPath::new(text).unwrap()
}

/// Owner of what this test makes, so that it needs no privileges.
fn me(root: &tempfile::TempDir) -> (u32, u32) {
    let metadata = root.path().metadata().unwrap();
    (metadata.uid(), metadata.gid())
}

fn write(root: &tempfile::TempDir, to: &str, content: &str) -> GuestFile {
    let (uid, gid) = me(root);
    GuestFile::Write {
        path: path(to),
        mode: 0o640,
        uid,
        gid,
        content: Content::from(content),
    }
}

#[test]
fn a_file_is_written_with_its_mode_and_its_missing_parents() {
    let root = guest();
    apply(
        root.path(),
        &write(&root, "/etc/ssh/sshd_config.d/99-banger.conf", "x\n"),
    )
    .unwrap();
    let file = root.path().join("etc/ssh/sshd_config.d/99-banger.conf");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
    assert_eq!(
        file.metadata().unwrap().permissions().mode() & 0o7777,
        0o640
    );
    apply(
        root.path(),
        &write(&root, "/etc/ssh/sshd_config.d/99-banger.conf", ""),
    )
    .unwrap();
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn links_of_the_image_are_followed_inside_the_root_only() {
    let root = guest();
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("run")).unwrap();
    symlink("/run/resolv.conf", root.path().join("etc/resolv.conf")).unwrap();
    symlink("../../../../../../run", root.path().join("etc/up")).unwrap();
    symlink(outside.path(), root.path().join("etc/out")).unwrap();
    apply(
        root.path(),
        &write(&root, "/etc/resolv.conf", "nameserver 1.1.1.1\n"),
    )
    .unwrap();
    assert!(root.path().join("run/resolv.conf").exists());
    apply(root.path(), &write(&root, "/etc/up/x", "x")).unwrap();
    assert!(root.path().join("run/x").exists());
    // The link's absolute target is looked for inside the root, where it does not exist.
    let error = apply(root.path(), &write(&root, "/etc/out/x", "x")).unwrap_err();
    assert!(error.part.contains("/etc/out/x"), "{error}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_there_is_not_written_again() {
    let root = guest();
    let (uid, gid) = me(&root);
    let file = |content: &str| GuestFile::WriteIfAbsent {
        path: path("/etc/f"),
        mode: 0o600,
        uid,
        gid,
        content: Content::from(content),
    };
    apply(root.path(), &file("first")).unwrap();
    apply(root.path(), &file("second")).unwrap();
    assert_eq!(
        std::fs::read_to_string(root.path().join("etc/f")).unwrap(),
        "first"
    );
}

#[test]
fn a_line_is_added_once_and_other_lines_stay() {
    let root = guest();
    let (uid, gid) = me(&root);
    std::fs::create_dir_all(root.path().join("root/.ssh")).unwrap();
    std::fs::write(
        root.path().join("root/.ssh/authorized_keys"),
        "ssh-rsa OLD without newline",
    )
    .unwrap();
    let line = GuestFile::AddLineOnce {
        path: path("/root/.ssh/authorized_keys"),
        line: "ssh-ed25519 KEY".into(),
        mode: 0o600,
        uid,
        gid,
    };
    apply(root.path(), &line).unwrap();
    apply(root.path(), &line).unwrap();
    let file = root.path().join("root/.ssh/authorized_keys");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "ssh-rsa OLD without newline\nssh-ed25519 KEY\n"
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_directory_gets_its_mode_also_when_it_was_there() {
    let root = guest();
    let (uid, gid) = me(&root);
    let dir = GuestFile::Dir {
        path: path("/etc"),
        mode: 0o700,
        uid,
        gid,
    };
    apply(root.path(), &dir).unwrap();
    assert_eq!(
        root.path()
            .join("etc")
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o700
    );
}

#[test]
fn links_are_made_replaced_and_removed() {
    let root = guest();
    for target in ["/a", "/b"] {
        let link = GuestFile::Symlink {
            path: path("/etc/localtime"),
            target: target.into(),
        };
        apply(root.path(), &link).unwrap();
    }
    assert_eq!(
        std::fs::read_link(root.path().join("etc/localtime")).unwrap(),
        Path::new("/b")
    );
    let remove = GuestFile::Remove {
        path: path("/etc/localtime"),
    };
    apply(root.path(), &remove).unwrap();
    apply(root.path(), &remove).unwrap();
    apply(
        root.path(),
        &GuestFile::Remove {
            path: path("/no/such/folder/file"),
        },
    )
    .unwrap();
}
