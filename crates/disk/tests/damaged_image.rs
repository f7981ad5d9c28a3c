//! Images of this crate with damage: the reader ends with an error or a tree, and never panics or hangs.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use banger_disk::tree::{Attributes, Contents, Extent, NodeKind, Source, Tree, Xattr};
use banger_disk::{ImageOptions, Label, ReadError, read_tree, write_tree};

/// Damaged images in one run.
const ROUNDS: u64 = 3000;

fn tree() -> Tree {
    let plain = Attributes::root(0o644);
    let mut tree = Tree::new(Attributes::root(0o755)).unwrap();
    let source = tree.add_source(Source::Bytes(Arc::from(vec![7_u8; 1 << 16])));
    let root = tree.root();
    let folder = tree
        .insert(root, b"folder", NodeKind::Directory, plain)
        .unwrap();
    // Enough pieces for an extent tree of two levels, enough names for an index.
    let pieces = (0..20).map(|n| Extent {
        at: n * 8192,
        source,
        offset: n * 100,
        len: 4096,
    });
    let sparse = Contents::sparse(1 << 20, pieces.collect()).unwrap();
    tree.insert(folder, b"sparse", NodeKind::File(sparse), plain)
        .unwrap();
    for number in 0..300 {
        let name = format!("a name that takes some room, number {number}");
        tree.insert(folder, name.as_bytes(), NodeKind::Fifo, plain)
            .unwrap();
    }
    let long = NodeKind::Symlink(vec![b'x'; 100].into());
    let long = tree.insert(root, b"long", long, plain).unwrap();
    let note = Xattr {
        name: (*b"user.note").into(),
        value: vec![1; 300].into(),
    };
    tree.set_xattrs(long, vec![note]).unwrap();
    tree
}

#[test]
fn a_damaged_image_is_an_error_or_a_tree() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let options = ImageOptions::base(Label::new("damaged").unwrap());
    write_tree(&tree(), &path, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let (mut state, mut refused) = (1_u64, 0);
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    for _ in 0..ROUNDS {
        // Metadata lies in front; contents cannot be wrong.
        let at = random() % (whole.len() as u64).min(200 << 10);
        let word = [random() as u8, random() as u8];
        file.write_all_at(&word[..1 + (random() % 2) as usize], at)
            .unwrap();
        refused += u32::from(read_tree(&path).is_err());
        let end = (at as usize + 2).min(whole.len());
        file.write_all_at(&whole[at as usize..end], at).unwrap();
    }
    assert!(read_tree(&path).is_ok(), "every damage was undone");
    assert!(refused > 0, "some of it was seen");
}

#[test]
fn an_image_of_other_features_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let options = ImageOptions::base(Label::new("other").unwrap());
    write_tree(&tree(), &path, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xC2], 1024 + 0x60).unwrap();
    assert!(matches!(read_tree(&path), Err(ReadError::NotOurs { .. })));
}
