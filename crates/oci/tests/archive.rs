//! Archives made by GNU tar, read back; and archives that no program should make.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod forge;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_disk::tree::{NodeKind, Tree};
use banger_oci::{ArchiveError, Limits, tree_from_archive};
use forge::{Forged, told};

fn read(path: &Path) -> Result<Tree, ArchiveError> {
    tree_from_archive(path, path.parent().unwrap(), Limits::default(), &mut |_| {
        ControlFlow::Continue(())
    })
    .map(|files| files.tree)
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let done = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn contents(tree: &Tree, path: &str) -> Vec<u8> {
    let node = tree
        .lookup_path(path.as_bytes())
        .unwrap_or_else(|| panic!("no {path}"));
    let NodeKind::File(contents) = tree.node(node).kind else {
        panic!("{path} is no file");
    };
    let mut bytes = vec![0; contents.size() as usize];
    for extent in contents.extents() {
        let room = &mut bytes[extent.at as usize..(extent.at + extent.len) as usize];
        tree.source(extent.source)
            .open()
            .unwrap()
            .read_exact_at(room, extent.offset)
            .unwrap();
    }
    bytes
}

/// A folder with files that archives find hard.
fn nasty_folder(root: &Path) {
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/tool"), b"#!/bin/sh\n").unwrap();
    fs::hard_link(root.join("usr/bin/tool"), root.join("tool")).unwrap();
    let long = "d".repeat(120);
    fs::create_dir_all(root.join(&long)).unwrap();
    fs::write(root.join(&long).join("f".repeat(200)), b"long").unwrap();
    std::os::unix::fs::symlink("t".repeat(300), root.join("link")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 5000], 1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 10 << 20).unwrap();
    sparse.set_len(20 << 20).unwrap();
    run("touch", &["-d", "1969-12-31T23:59:58.25Z", "tool"], root);
    run("chmod", &["4755", "tool"], root);
    run("mkfifo", &["pipe"], root);
}

fn check_nasty(tree: &Tree, sparse_kept: bool) {
    assert_eq!(contents(tree, "tool"), b"#!/bin/sh\n");
    assert_eq!(tree.lookup_path(b"tool"), tree.lookup_path(b"usr/bin/tool"));
    let tool = tree.node(tree.lookup_path(b"tool").unwrap());
    assert_eq!((tool.attributes.mode, tool.links), (0o4755, 2));
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    assert_eq!(contents(tree, &long), b"long");
    let link = tree.node(tree.lookup_path(b"link").unwrap());
    assert_eq!(link.kind, &NodeKind::Symlink(vec![b't'; 300].into()));
    let sparse = contents(tree, "sparse");
    assert_eq!(sparse.len(), 20 << 20);
    assert!(sparse[1 << 20..][..5000] == [7; 5000] && sparse[10 << 20..][..3] == *b"end");
    assert_eq!(sparse.iter().filter(|&&byte| byte != 0).count(), 5003);
    let NodeKind::File(map) = tree.node(tree.lookup_path(b"sparse").unwrap()).kind else {
        panic!("no file");
    };
    let data: u64 = map.extents().map(|extent| extent.len).sum();
    assert_eq!(data < 1 << 20, sparse_kept);
    assert_eq!(
        tree.node(tree.lookup_path(b"pipe").unwrap()).kind,
        &NodeKind::Fifo
    );
}

#[test]
fn archives_of_every_format_arrive_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    nasty_folder(&root);
    let formats: [(&[&str], bool); 7] = [
        (&["--format=gnu"], false),
        (&["--format=gnu", "--sparse"], true),
        (&["--format=pax"], false),
        (&["--format=pax", "--sparse", "--sparse-version=0.0"], true),
        (&["--format=pax", "--sparse", "--sparse-version=0.1"], true),
        (&["--format=pax", "--sparse", "--sparse-version=1.0"], true),
        (&["--format=pax", "--sparse", "--gzip"], true),
    ];
    for (options, sparse_kept) in formats {
        let archive = dir.path().join("archive.tar");
        let mut arguments = vec![
            "-cf",
            archive.to_str().unwrap(),
            "-C",
            root.to_str().unwrap(),
        ];
        arguments.extend(options);
        arguments.push(".");
        run("tar", &arguments, dir.path());
        let tree = read(&archive).unwrap_or_else(|error| panic!("{options:?}: {error:?}"));
        check_nasty(&tree, sparse_kept);
        if options.contains(&"--format=pax") {
            let time = tree
                .node(tree.lookup_path(b"tool").unwrap())
                .attributes
                .mtime;
            assert_eq!((time.seconds, time.nanoseconds), (-2, 250_000_000));
        }
    }
}

#[test]
fn compressed_archives_are_read_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    nasty_folder(&root);
    for option in ["--gzip", "--xz", "--zstd"] {
        let archive = dir.path().join("archive");
        run(
            "tar",
            &[
                "-cSf",
                archive.to_str().unwrap(),
                option,
                "-C",
                root.to_str().unwrap(),
                ".",
            ],
            dir.path(),
        );
        let before = fs::read_dir(dir.path()).unwrap().count();
        let tree = read(&archive).unwrap();
        check_nasty(&tree, true);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
    }
}

fn read_bytes(bytes: &[u8]) -> Result<Tree, ArchiveError> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("forged.tar");
    fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    read(&path)
}

fn refusal(bytes: &[u8]) -> String {
    told(&read_bytes(bytes).unwrap_err())
}

#[test]
fn names_that_leave_the_archive_are_refused_by_name() {
    let traversal = refusal(
        &Forged::new()
            .entry(b'0', b"a/../../etc/passwd", b"", b"x")
            .end(),
    );
    assert!(
        traversal.contains("\"a/../../etc/passwd\"") && traversal.ends_with("out of the archive"),
        "{traversal}"
    );
}

#[test]
fn absolute_names_are_those_below_the_root() {
    let forged = Forged::new()
        .entry(b'5', b"/", b"", b"")
        .entry(b'5', b"/usr/", b"", b"")
        .entry(b'0', b"/usr/bin/python", b"", b"x")
        .entry(b'0', b"/../etc/passwd", b"", b"x")
        .entry(b'1', b"/usr/lib/../bin/py", b"/usr/../usr/bin/python", b"")
        .end();
    let tree = read_bytes(&forged).unwrap();
    assert!(tree.lookup_path(b"etc/passwd").is_some());
    assert_eq!(
        tree.lookup_path(b"usr/bin/py"),
        tree.lookup_path(b"usr/bin/python")
    );
    assert_eq!(tree.entry_count(), 6);
}

#[test]
fn links_on_the_way_are_followed_inside_the_tree_only() {
    let forged = Forged::new()
        .entry(b'2', b"out", b"../../../etc", b"")
        .entry(b'0', b"out/passwd", b"", b"mine")
        .end();
    let tree = read_bytes(&forged).unwrap();
    assert!(tree.lookup_path(b"etc/passwd").is_some());
    let circle = Forged::new()
        .entry(b'2', b"a", b"b", b"")
        .entry(b'2', b"b", b"a", b"")
        .entry(b'0', b"a/file", b"", b"x")
        .end();
    assert!(refusal(&circle).ends_with("more than 40 links lie on its way"));
    let file = Forged::new()
        .entry(b'0', b"f", b"", b"x")
        .entry(b'0', b"f/g", b"", b"x")
        .end();
    assert!(refusal(&file).ends_with("\"/f\" on its way is not a directory"));
}

#[test]
fn hard_links_to_nothing_to_themselves_and_to_directories_are_refused() {
    let missing = refusal(&Forged::new().entry(b'1', b"a", b"b", b"").end());
    assert!(
        missing.ends_with("it is a hard link to \"b\", which is not there"),
        "{missing}"
    );
    let itself = refusal(&Forged::new().entry(b'1', b"a", b"a", b"").end());
    assert!(itself.ends_with("which is not there"), "{itself}");
    let directory = refusal(
        &Forged::new()
            .entry(b'5', b"d/", b"", b"")
            .entry(b'1', b"a", b"d", b"")
            .end(),
    );
    assert!(
        directory.ends_with("cannot have a second name"),
        "{directory}"
    );
}

#[test]
fn entries_before_their_parents_and_twice_are_put_right() {
    let forged = Forged::new()
        .entry(b'0', b"a/b/file", b"", b"one")
        .entry(b'5', b"a/", b"", b"")
        .entry(b'0', b"./a/b/file", b"", b"second")
        .entry(b'0', b"a/plain", b"", b"x")
        .entry(b'5', b"a/plain", b"", b"")
        .end();
    let tree = read_bytes(&forged).unwrap();
    assert_eq!(contents(&tree, "a/b/file"), b"second");
    assert_eq!(
        tree.node(tree.lookup_path(b"a").unwrap()).attributes.mode,
        0o644
    );
    assert!(
        tree.node(tree.lookup_path(b"a/plain").unwrap())
            .kind
            .is_directory()
    );
}

#[test]
fn sizes_that_lie_and_streams_that_end_early_are_refused() {
    let mut lying = Forged::new();
    lying.header(b'0', b"huge", b"", b"77777777777\0");
    let said = refusal(&lying.end());
    assert!(
        said.contains("cut short") && said.contains("\"huge\""),
        "{said}"
    );
    let mut overflow = Forged::new();
    overflow.header(
        b'0',
        b"huge",
        b"",
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
    );
    assert!(refusal(&overflow.end()).contains("cut short"));
    let mut negative = Forged::new();
    negative.header(
        b'0',
        b"less",
        b"",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
    );
    assert!(refusal(&negative.end()).contains("size is no number"));
    let no_end = Forged::new().entry(b'0', b"file", b"", b"x").bytes;
    assert!(refusal(&no_end).contains("the block of zeros at its end is missing"));
    assert!(refusal(b"this is no archive").contains("cut short"));
    assert!(refusal(&[b'x'; 2048]).contains("checksum is wrong"));
    assert!(refusal(&[0; 1024]).ends_with("is empty"));
    assert!(refusal(b"").contains("cut short"));
}

#[test]
fn extended_headers_are_bounded_and_cut_by_length() {
    let capability = b"\x01\0\0\x02\n\x20=\0\n\0\0\0";
    let forged = Forged::new()
        .pax("SCHILY.xattr.security.capability", capability)
        .entry(b'0', b"ping", b"", b"elf")
        .end();
    let tree = read_bytes(&forged).unwrap();
    let ping = tree.node(tree.lookup_path(b"ping").unwrap());
    assert_eq!(&*ping.xattrs[0].value, capability);
    let mut huge = Forged::new();
    huge.header(b'x', b"pax", b"", b"00077777777\0");
    assert!(refusal(&huge.end()).contains("extended header has 16777215 bytes"));
    let broken = Forged::new()
        .entry(b'x', b"pax", b"", b"99 path=x\n")
        .entry(b'0', b"f", b"", b"")
        .end();
    assert!(refusal(&broken).contains("pax records are broken"));
}

#[test]
fn headers_that_describe_one_entry_are_bounded_together() {
    let mut many = Forged::new();
    for _ in 0..9 {
        many = many.pax("SCHILY.xattr.user.x", &vec![b'x'; 500_000]);
    }
    let said = refusal(&many.entry(b'0', b"file", b"", b"").end());
    assert!(
        said.contains("more than 4194304 bytes of extended headers lie before it"),
        "{said}"
    );
    // Labels hold nothing, and take none of it.
    let label = vec![0; 5 << 20];
    let labelled = Forged::new()
        .entry(b'V', b"label", b"", &label)
        .entry(b'0', b"file", b"", b"")
        .end();
    assert!(refusal(&labelled).contains("extended headers"));
}

#[test]
fn names_that_are_no_text_survive() {
    let forged = Forged::new()
        .entry(b'0', b"caf\xe9", b"", b"x")
        .entry(b'2', b"l", b"\xff\xfe", b"")
        .end();
    let tree = read_bytes(&forged).unwrap();
    assert!(tree.lookup_path(b"caf\xe9").is_some());
    let link = tree.node(tree.lookup_path(b"l").unwrap());
    assert_eq!(link.kind, &NodeKind::Symlink((*b"\xff\xfe").into()));
}

#[test]
fn unknown_kinds_and_another_root_are_refused() {
    assert!(
        refusal(&Forged::new().entry(b'M', b"part", b"", b"").end())
            .contains("kind 'M' is not supported")
    );
    let root = Forged::new()
        .entry(b'0', b"./", b"", b"")
        .entry(b'2', b".", b"x", b"")
        .end();
    assert!(refusal(&root).ends_with("it would replace the root directory"));
}

fn files(bytes: &[u8]) -> banger_oci::Files {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forged.tar");
    fs::write(&path, bytes).unwrap();
    tree_from_archive(&path, dir.path(), Limits::default(), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

fn names_of_xattrs(tree: &Tree, path: &str) -> Vec<String> {
    let node = tree.lookup_path(path.as_bytes()).unwrap();
    let names = tree.node(node).xattrs.iter();
    names
        .map(|xattr| String::from_utf8_lossy(&xattr.name).into_owned())
        .collect()
}

#[test]
fn access_control_lists_get_the_numbers_of_the_archive_s_own_accounts() {
    const LIST: &[u8] = b"user::rwx,group::--x,group:adm:r-x,mask::rwx,other::r-x";
    let listed = |forged: Forged, name: &[u8]| {
        forged
            .pax("SCHILY.acl.access", LIST)
            .pax("SCHILY.acl.default", LIST)
            .entry(b'5', name, b"", b"")
    };
    // The accounts come behind the list, by way of a link.
    let known = listed(Forged::new(), b"var/log/journal/")
        .entry(b'2', b"etc/group", b"../usr/group", b"")
        .entry(b'0', b"usr/group", b"", b"root:x:0:\nadm:x:4:\n")
        .end();
    let known = files(&known);
    assert!(known.losses.is_empty());
    let journal = known.tree.lookup_path(b"var/log/journal").unwrap();
    let xattrs = known.tree.node(journal).xattrs;
    assert_eq!(xattrs.len(), 2);
    assert_eq!(xattrs[0].value[4 + 2 * 8..][..8], [8, 0, 5, 0, 4, 0, 0, 0]);

    let unknown = files(&listed(Forged::new(), b"journal/").end());
    assert_eq!(names_of_xattrs(&unknown.tree, "journal"), [""; 0]);
    assert_eq!(
        unknown.losses.sentences(),
        [
            "access control lists that name accounts the image does not have are left out: /journal, /journal"
        ]
    );
    // The mode showed the mask; the group keeps its own permissions within it.
    let journal = unknown.tree.lookup_path(b"journal").unwrap();
    assert_eq!(unknown.tree.node(journal).attributes.mode, 0o604);

    let again = listed(Forged::new(), b"d/").entry(b'5', b"d/", b"", b"");
    assert!(
        files(&again.end()).losses.is_empty(),
        "the later entry has no list"
    );
}

#[test]
fn attributes_that_ext4_cannot_hold_are_dropped_and_told() {
    let mut forged = Forged::new()
        .pax("SCHILY.xattr.user.big", &[b'v'; 5000])
        .pax("SCHILY.xattr.user.small", b"v")
        .pax("SCHILY.acl.access", b"rubbish")
        .entry(b'0', b"x", b"", b"1");
    for number in 0..40 {
        forged = forged.pax(&format!("SCHILY.xattr.user.k{number}"), &[b'v'; 100]);
    }
    let forged = forged
        .entry(b'0', b"many", b"", b"")
        .pax("uid", b"4294967296")
        .entry(b'0', b"owned", b"", b"")
        .end();
    let files = files(&forged);
    assert_eq!(names_of_xattrs(&files.tree, "x"), ["user.small"]);
    assert!(names_of_xattrs(&files.tree, "many").len() > 30);
    let owned = files.tree.lookup_path(b"owned").unwrap();
    assert_eq!(files.tree.node(owned).attributes.uid, 65_534);
    assert_eq!(
        files.losses.sentences(),
        [
            "broken access control lists are left out: x",
            "extended attributes that ext4 cannot hold are left out: x, many",
            "owners with numbers beyond 32 bits become 65534 (nobody): owned"
        ]
    );
}

#[test]
fn a_file_with_more_names_than_ext4_takes_becomes_several() {
    let mut forged = Forged::new().entry(b'0', b"x/first", b"", b"content");
    for number in 0..65_010 {
        let name = format!("x/{number}");
        forged = forged.entry(b'1', name.as_bytes(), b"x/first", b"");
    }
    let files = files(&forged.end());
    let links = |path: &str| {
        let node = files.tree.lookup_path(path.as_bytes()).unwrap();
        files.tree.node(node).links
    };
    assert_eq!((links("x/first"), links("x/65009")), (65_000, 11));
    assert_eq!(contents(&files.tree, "x/65009"), b"content");
    let told = files.losses.sentences();
    assert!(told[0].ends_with("are copies of it: /x/64999"), "{told:?}");
}
