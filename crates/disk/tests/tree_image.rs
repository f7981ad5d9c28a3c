//! Images of trees, checked by e2fsck and read back by a second implementation.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod oracle;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use banger_disk::tree::{
    Attributes, Contents, DeviceNumber, Extent, NodeKind, Source, SourceId, Timestamp, Tree, Xattr,
};
use banger_disk::{ImageOptions, ImageSize, Label, WriteError, WrittenImage, write_tree};
use mkext4::reader::Fs;
use uuid::Uuid;

fn new_tree() -> Tree {
    Tree::new(Attributes::root(0o755)).unwrap()
}

fn plain(mode: u16) -> Attributes {
    Attributes::root(mode)
}

fn label() -> Label {
    Label::new("test").unwrap()
}

fn bytes_source(tree: &mut Tree, bytes: &[u8]) -> SourceId {
    tree.add_source(Source::Bytes(Arc::from(bytes)))
}

fn write(tree: &Tree, path: &Path, options: &ImageOptions) -> Result<WrittenImage, WriteError> {
    write_tree(tree, path, options, &mut |_| ControlFlow::Continue(()))
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr {
        name: name.as_bytes().into(),
        value: value.into(),
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

/// Roomy: the reading side refuses files that are larger than their file system, holes included.
fn roomy() -> ImageOptions {
    ImageOptions {
        size: ImageSize::Exactly(256 << 20),
        ..ImageOptions::base(label())
    }
}

/// A tree with one of everything.
fn rich_tree() -> Tree {
    let mut tree = new_tree();
    let root = tree.root();
    let data = pattern(3 << 20);
    let source = bytes_source(&mut tree, &data);
    let etc = tree
        .insert(root, b"etc", NodeKind::Directory, plain(0o755))
        .unwrap();
    let file = |offset, len| NodeKind::File(Contents::whole(source, offset, len));
    let hostname = tree
        .insert(etc, b"hostname", file(0, 5), plain(0o644))
        .unwrap();
    tree.link(root, b"hard", hostname).unwrap();
    tree.insert(
        root,
        b"empty",
        NodeKind::File(Contents::empty()),
        plain(0o600),
    )
    .unwrap();
    tree.insert(root, b"large", file(1, (3 << 20) - 1), plain(0o4755))
        .unwrap();
    tree.insert(root, b"caf\xe9", file(0, 4096), plain(0o644))
        .unwrap();
    let old = Attributes {
        mode: 0o640,
        uid: 1_234_567,
        gid: 70_000,
        mtime: Timestamp {
            seconds: -1000,
            nanoseconds: 123_456_789,
        },
    };
    tree.insert(root, b"old", file(7, 4097), old).unwrap();
    for len in [1, 59, 60, 4095] {
        let target = vec![b't'; len];
        let name = format!("link{len}");
        tree.insert(
            root,
            name.as_bytes(),
            NodeKind::Symlink(target.into()),
            plain(0o777),
        )
        .unwrap();
    }
    let number = DeviceNumber::new(259, 4097).unwrap();
    tree.insert(root, b"block", NodeKind::BlockDevice(number), plain(0o660))
        .unwrap();
    let number = DeviceNumber::new(1, 3).unwrap();
    tree.insert(root, b"null", NodeKind::CharDevice(number), plain(0o666))
        .unwrap();
    tree.insert(root, b"pipe", NodeKind::Fifo, plain(0o600))
        .unwrap();
    tree.insert(root, b"socket", NodeKind::Socket, plain(0o700))
        .unwrap();
    tree.set_xattrs(
        hostname,
        vec![xattr("security.capability", b"\x01\0\0\x02\n\0\0\0")],
    )
    .unwrap();
    tree.set_xattrs(
        etc,
        vec![xattr("user.big", &pattern(3000)), xattr("trusted.x", b"y")],
    )
    .unwrap();
    let sparse = vec![
        Extent {
            at: 8192,
            source,
            offset: 0,
            len: 100,
        },
        Extent {
            at: 8400,
            source,
            offset: 500,
            len: 5000,
        },
        Extent {
            at: 5 << 20,
            source,
            offset: 10,
            len: 512,
        },
    ];
    let sparse = NodeKind::File(Contents::sparse(64 << 20, sparse).unwrap());
    tree.insert(root, b"sparse", sparse, plain(0o644)).unwrap();
    tree
}

#[test]
fn a_tree_with_one_of_everything_is_clean_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.ext4");
    write(&rich_tree(), &path, &roomy()).unwrap();
    oracle::assert_clean(&path);
    let fs = Fs::open(File::open(&path).unwrap()).unwrap();
    assert!(
        fs.verify().unwrap().is_empty(),
        "{:?}",
        fs.verify().unwrap()
    );
    let read = |name: &[u8]| fs.read_file(fs.lookup(2, name).unwrap().unwrap()).unwrap();
    let data = pattern(3 << 20);
    assert!(read(b"large") == data[1..]);
    assert!(read(b"caf\xe9") == data[..4096]);
    assert_eq!(read(b"empty"), b"");
    assert!(read(b"old") == data[7..7 + 4097]);
    let mut expected = vec![0; 64 << 20];
    expected[8192..8292].copy_from_slice(&data[..100]);
    expected[8400..13400].copy_from_slice(&data[500..5500]);
    expected[5 << 20..(5 << 20) + 512].copy_from_slice(&data[10..522]);
    assert!(read(b"sparse") == expected);
    let etc = fs.resolve("/etc").unwrap();
    assert_eq!(
        fs.lookup(2, b"hard").unwrap(),
        fs.lookup(etc, b"hostname").unwrap()
    );
    let named: BTreeMap<Vec<u8>, Vec<u8>> = fs
        .xattrs(etc)
        .unwrap()
        .into_iter()
        .map(|x| (x.full_name().unwrap(), x.value))
        .collect();
    assert_eq!(named[&b"user.big"[..]], pattern(3000));
    assert_eq!(named[&b"trusted.x"[..]], b"y");
    for len in [1, 59, 60, 4095] {
        let link = fs.resolve(&format!("/link{len}")).unwrap();
        assert_eq!(fs.symlink_target(link).unwrap(), vec![b't'; len]);
    }
    let block = fs.inode(fs.resolve("/block").unwrap()).unwrap();
    assert_eq!(block.dev_numbers(), Some((259, 4097)));
    let old = fs.inode(fs.resolve("/old").unwrap()).unwrap();
    assert_eq!((old.uid, old.gid), (1_234_567, 70_000));
    let time = mkext4::spec::Inode::timestamp(old.mtime, old.mtime_extra);
    assert_eq!(time, (-1000, 123_456_789));
}

#[test]
fn the_digest_is_that_of_the_file() {
    use sha2::{Digest, Sha256};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.ext4");
    let written = write(&rich_tree(), &path, &ImageOptions::base(label())).unwrap();
    let file: [u8; 32] = Sha256::digest(std::fs::read(&path).unwrap()).into();
    assert_eq!(written.digest, Some(file));
    assert_eq!(written.size, std::fs::metadata(&path).unwrap().len());
}

#[test]
fn the_same_tree_gives_the_same_bytes_in_whatever_order_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let image = |name: &str, order: &[u32]| {
        let mut tree = new_tree();
        let source = bytes_source(&mut tree, &pattern(9000));
        let many = tree
            .insert(tree.root(), b"many", NodeKind::Directory, plain(0o755))
            .unwrap();
        for n in order {
            let file = NodeKind::File(Contents::whole(source, u64::from(*n % 100), 300));
            tree.insert(many, format!("file-{n}").as_bytes(), file, plain(0o644))
                .unwrap();
        }
        write(&tree, &dir.path().join(name), &ImageOptions::base(label()))
            .unwrap()
            .digest
    };
    let up: Vec<u32> = (0..1000).collect();
    let down: Vec<u32> = (0..1000).rev().collect();
    assert_eq!(image("up", &up), image("down", &down));
    assert_ne!(image("less", &up[1..]), image("again", &up));
}

#[test]
fn large_directories_are_indexed_and_every_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.ext4");
    let mut tree = new_tree();
    let flat = tree
        .insert(tree.root(), b"flat", NodeKind::Directory, plain(0o755))
        .unwrap();
    // With names of 200 bytes, 20,000 entries need an index of two levels.
    let name = |n: u32| format!("{n:0>200}");
    for n in 0..20_000 {
        tree.insert(
            flat,
            name(n).as_bytes(),
            NodeKind::File(Contents::empty()),
            plain(0o644),
        )
        .unwrap();
    }
    write(&tree, &path, &ImageOptions::base(label())).unwrap();
    oracle::assert_clean(&path);
    let levels = oracle::debugfs(&path, "htree_dump /flat");
    assert!(
        levels.contains("Indirect levels: 1"),
        "{}",
        &levels[..400.min(levels.len())]
    );
    let fs = Fs::open(File::open(&path).unwrap()).unwrap();
    assert!(fs.verify().unwrap().is_empty());
    let directory = fs.resolve("/flat").unwrap();
    assert!(
        fs.lookup(directory, name(19_999).as_bytes())
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_file_of_many_extents_has_a_tree() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.ext4");
    let mut tree = new_tree();
    let source = bytes_source(&mut tree, &pattern(4096));
    let extents = (0..3000)
        .map(|n| Extent {
            at: n * 12_288,
            source,
            offset: 0,
            len: 4096,
        })
        .collect();
    let contents = Contents::sparse(3000 * 12_288, extents).unwrap();
    tree.insert(
        tree.root(),
        b"swiss",
        NodeKind::File(contents),
        plain(0o644),
    )
    .unwrap();
    write(&tree, &path, &roomy()).unwrap();
    oracle::assert_clean(&path);
    let fs = Fs::open(File::open(&path).unwrap()).unwrap();
    let bytes = fs.read_file(fs.resolve("/swiss").unwrap()).unwrap();
    assert!(bytes[2999 * 12_288..][..4096] == pattern(4096));
    assert!(bytes[4096..12_288].iter().all(|&byte| byte == 0));
}

#[test]
fn a_seed_has_its_size_a_journal_and_room_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.ext4");
    let uuid = Uuid::from_u128(77);
    let size = 3 << 30;
    write(
        &rich_tree(),
        &path,
        &ImageOptions::seed(size, label(), uuid),
    )
    .unwrap();
    oracle::assert_clean(&path);
    let found = banger_disk::superblock::read(&path).unwrap();
    assert_eq!(
        (found.size, found.uuid, found.has_journal),
        (size, uuid, true)
    );
    let allocated = std::fs::metadata(&path).unwrap().blocks() * 512;
    assert!(allocated < 8 << 20, "{allocated}");
}

#[test]
fn a_tree_that_does_not_fit_is_refused_with_both_sizes_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.ext4");
    let options = ImageOptions {
        size: ImageSize::Exactly(2 << 20),
        ..ImageOptions::base(label())
    };
    let refused = write(&rich_tree(), &path, &options).unwrap_err();
    assert!(
        matches!(
            refused,
            WriteError::DoesNotFit {
                size: 2_097_152,
                ..
            }
        ),
        "{refused}"
    );
    assert!(!path.exists());
}

#[test]
fn contents_that_are_cut_short_name_the_file_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.ext4");
    let short = dir.path().join("short");
    File::create(&short).unwrap().write_all(b"four").unwrap();
    let mut tree = new_tree();
    let source = tree.add_source(Source::Path(short));
    let file = NodeKind::File(Contents::whole(source, 0, 5));
    tree.insert(tree.root(), b"liar", file, plain(0o644))
        .unwrap();
    let refused = write(&tree, &path, &ImageOptions::base(label())).unwrap_err();
    assert_eq!(refused.to_string(), "cannot read the contents of \"/liar\"");
    assert!(!path.exists());
}

#[test]
fn writing_stops_when_progress_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.ext4");
    let stopped = write_tree(
        &rich_tree(),
        &path,
        &ImageOptions::base(label()),
        &mut |_| ControlFlow::Break(()),
    );
    assert!(matches!(stopped, Err(WriteError::Cancelled)));
    assert!(!path.exists());
}
