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

/// Applies a change in a guest that remembers nothing.
fn apply_to(root: &Path, file: &GuestFile) -> Result<(), Failure> {
    apply(root, &Written::within(root.join("remembered")), file)
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
    apply_to(
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
    apply_to(
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
    apply_to(
        root.path(),
        &write(&root, "/etc/resolv.conf", "nameserver 1.1.1.1\n"),
    )
    .unwrap();
    assert!(root.path().join("run/resolv.conf").exists());
    apply_to(root.path(), &write(&root, "/etc/up/x", "x")).unwrap();
    assert!(root.path().join("run/x").exists());
    // The link's absolute target is looked for inside the root, and made there.
    apply_to(root.path(), &write(&root, "/etc/out/x", "x")).unwrap();
    let inside = outside.path().strip_prefix("/").unwrap();
    assert!(root.path().join(inside).join("x").exists());
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
    apply_to(root.path(), &file("first")).unwrap();
    apply_to(root.path(), &file("second")).unwrap();
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
    apply_to(root.path(), &line).unwrap();
    apply_to(root.path(), &line).unwrap();
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
    apply_to(root.path(), &dir).unwrap();
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
        apply_to(root.path(), &link).unwrap();
    }
    assert_eq!(
        std::fs::read_link(root.path().join("etc/localtime")).unwrap(),
        Path::new("/b")
    );
    let remove = GuestFile::Remove {
        path: path("/etc/localtime"),
    };
    apply_to(root.path(), &remove).unwrap();
    apply_to(root.path(), &remove).unwrap();
    apply_to(
        root.path(),
        &GuestFile::Remove {
            path: path("/no/such/folder/file"),
        },
    )
    .unwrap();
}

fn editable(to: &str, content: &str) -> GuestFile {
    GuestFile::WriteUnlessEdited {
        path: path(to),
        mode: 0o644,
        content: Content::from(content),
    }
}

#[test]
fn a_file_of_ours_follows_us_until_its_user_edits_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let root = guest();
    let hosts = root.path().join("etc/hosts");
    let now = || std::fs::read_to_string(&hosts).unwrap();
    std::fs::write(&hosts, "the image's\n").unwrap();
    let say = |content: &str| apply_to(root.path(), &editable("/etc/hosts", content)).unwrap();
    say("one\n");
    assert_eq!(now(), "one\n", "the first start writes over the image's");
    say("two\n");
    assert_eq!(
        now(),
        "two\n",
        "a new name reaches a file that nobody has touched"
    );
    std::fs::write(&hosts, "two\n10.0.0.1 mine\n").unwrap();
    say("three\n");
    assert_eq!(now(), "two\n10.0.0.1 mine\n");
    std::fs::remove_file(&hosts).unwrap();
    symlink("elsewhere", &hosts).unwrap();
    say("four\n");
    assert!(
        hosts.is_symlink(),
        "a link that the user has put there is an edit"
    );
}

#[test]
fn a_link_of_the_image_makes_way_and_a_folder_with_something_in_it_does_not() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let root = guest();
    let at = |path: &str| root.path().join(path);
    symlink(
        "../run/systemd/resolve/stub-resolv.conf",
        at("etc/resolv.conf"),
    )
    .unwrap();
    apply_to(root.path(), &editable("/etc/resolv.conf", "x\n")).unwrap();
    assert!(at("etc/resolv.conf").is_file() && !at("etc/resolv.conf").is_symlink());
    std::fs::create_dir_all(at("etc/hostname/full")).unwrap();
    apply_to(root.path(), &editable("/etc/hostname", "x\n")).unwrap();
    assert!(at("etc/hostname/full").is_dir());
    std::fs::create_dir(at("etc/hosts")).unwrap();
    apply_to(root.path(), &editable("/etc/hosts", "x\n")).unwrap();
    assert!(at("etc/hosts").is_file(), "an empty folder makes way");
}

#[test]
fn directories_are_made_at_the_ends_of_links_and_never_outside() {
    let root = guest();
    let at = |path: &str| root.path().join(path);
    for (link, target) in [
        ("root", "var/roothome"),
        ("tmp", "/private/tmp"),
        ("up", "../../../escape"),
        ("one", "two/deep"),
        ("two", "/three"),
        ("round", "round"),
    ] {
        symlink(target, at(link)).unwrap();
    }
    let place = Place::open(root.path()).unwrap();
    for (path, made) in [
        ("root", "var/roothome"),
        ("/root/.ssh", "var/roothome/.ssh"),
        ("tmp/", "private/tmp"),
        ("up", "escape"),
        ("one/more", "three/deep/more"),
        ("./plain/../other", "other"),
    ] {
        place.make_dirs(path).unwrap();
        assert!(at(made).is_dir() && !at(made).is_symlink(), "{path}");
    }
    assert!(place.make_dirs("round").is_err());
    std::fs::write(at("file"), "").unwrap();
    assert!(place.make_dirs("file").is_err());
    assert!(!root.path().parent().unwrap().join("escape").exists());
}

#[test]
fn others_lose_the_right_to_write_and_nothing_else() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let root = guest();
    for (before, after) in [(0o700, 0o700), (0o777, 0o755), (0o1770, 0o1750)] {
        let dir = root.path().join(format!("d{before:o}"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(before)).unwrap();
        let guard = GuestFile::Guard {
            path: path(&format!("/d{before:o}")),
        };
        apply_to(root.path(), &guard).unwrap();
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o7777, after);
    }
}
