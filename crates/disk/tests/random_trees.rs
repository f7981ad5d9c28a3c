//! Random trees: the image is clean, a second implementation reads back the same contents, and the same tree gives the
//! same bytes.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod oracle;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use banger_disk::tree::{
    Attributes, Contents, DeviceNumber, Extent, NodeId, NodeKind, Source, SourceId, Timestamp,
    Tree, Xattr,
};
use banger_disk::{ImageOptions, ImageSize, Label, read_tree, write_tree};
use mkext4::reader::Fs;
use proptest::prelude::*;
use uuid::Uuid;

/// Size of the pool of contents, in bytes.
const POOL: usize = 1 << 18;

/// One entry for a tree; numbers are taken modulo the entries that exist.
#[derive(Debug, Clone)]
enum Thing {
    Directory,
    /// Many entries with names of this length: past some hundred, the directory gets an index.
    Crowd(u16, u8),
    File(u32, u32),
    /// Pieces as (gap before, length).
    Sparse(Vec<(u32, u16)>),
    Symlink(Vec<u8>),
    HardLink(usize),
    Device(bool, u32, u32),
    Fifo,
    Socket,
}

#[derive(Debug, Clone)]
struct Planned {
    parent: usize,
    name: Vec<u8>,
    thing: Thing,
    attributes: Attributes,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(1_u8..=255, 1..24),
        1 => proptest::collection::vec(1_u8..=255, 200..=255),
    ]
    .prop_map(|mut name| {
        name.iter_mut()
            .filter(|byte| **byte == b'/')
            .for_each(|byte| *byte = b'_');
        name
    })
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        6 => Just(Thing::Directory),
        1 => (1_u16..700, 4_u8..250).prop_map(|(count, len)| Thing::Crowd(count, len)),
        8 => (any::<u32>(), any::<u32>()).prop_map(|(start, len)| Thing::File(start, len)),
        2 => proptest::collection::vec((0_u32..200_000, any::<u16>()), 0..30).prop_map(Thing::Sparse),
        3 => proptest::collection::vec(1_u8..=255, 1..200).prop_map(Thing::Symlink),
        3 => any::<usize>().prop_map(Thing::HardLink),
        1 => (any::<bool>(), 0_u32..4096, 0_u32..1 << 20).prop_map(|(block, major, minor)| Thing::Device(block, major, minor)),
        1 => Just(Thing::Fifo),
        1 => Just(Thing::Socket),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (
        0_u16..0o10000,
        any::<u32>(),
        any::<u32>(),
        -(1_i64 << 31)..(1_i64 << 33),
        0_u32..1_000_000_000,
    )
        .prop_map(|(mode, uid, gid, seconds, nanoseconds)| Attributes {
            mode,
            uid,
            gid,
            mtime: Timestamp {
                seconds,
                nanoseconds,
            },
        })
}

fn xattrs() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let one = (
        "(user|trusted|security)\\.[a-z]{1,40}",
        proptest::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(|(name, value)| (name.into_bytes(), value));
    prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(one, 1..5)]
}

fn planned() -> impl Strategy<Value = Planned> {
    (any::<usize>(), name(), thing(), attributes(), xattrs()).prop_map(
        |(parent, name, thing, attributes, xattrs)| Planned {
            parent,
            name,
            thing,
            attributes,
            xattrs,
        },
    )
}

fn pool() -> Vec<u8> {
    let mut state = 7_u64;
    (0..POOL)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8 | 1 // never zero, so that a hole is told from data
        })
        .collect()
}

fn build(plan: &[Planned]) -> Tree {
    let mut tree = Tree::new(Attributes::root(0o755)).unwrap();
    let source = tree.add_source(Source::Bytes(Arc::from(pool())));
    let (mut directories, mut others) = (vec![tree.root()], Vec::new());
    for planned in plan {
        let parent = directories[planned.parent % directories.len()];
        let Some(kind) = kind(&planned.thing, source) else {
            if let Thing::HardLink(target) = planned.thing
                && !others.is_empty()
            {
                let _taken = tree.link(parent, &planned.name, others[target % others.len()]);
            }
            continue;
        };
        let Ok(node) = tree.insert(parent, &planned.name, kind, planned.attributes) else {
            continue; // the name is taken, or is "." or ".."
        };
        let xattrs = planned.xattrs.iter().map(|(name, value)| Xattr {
            name: name[..].into(),
            value: value[..].into(),
        });
        tree.set_xattrs(node, xattrs.collect()).unwrap();
        match planned.thing {
            Thing::Directory => directories.push(node),
            Thing::Crowd(count, len) => {
                for number in 0..count {
                    let name = format!("{number:0>width$}", width = usize::from(len));
                    tree.insert(node, name.as_bytes(), NodeKind::Fifo, planned.attributes)
                        .unwrap();
                }
            }
            _ => others.push(node),
        }
    }
    tree
}

fn kind(thing: &Thing, source: SourceId) -> Option<NodeKind> {
    Some(match thing {
        Thing::Directory | Thing::Crowd(..) => NodeKind::Directory,
        Thing::File(start, len) => {
            let start = *start as usize % POOL;
            let len = *len as usize % (POOL - start);
            NodeKind::File(Contents::whole(source, start as u64, len as u64))
        }
        Thing::Sparse(pieces) => {
            let (mut at, mut extents) = (0, Vec::new());
            for &(gap, len) in pieces {
                let (offset, len) = (u64::from(gap), u64::from(len));
                at += u64::from(gap);
                extents.push(Extent {
                    at,
                    source,
                    offset: offset % 1000,
                    len,
                });
                at += len;
            }
            NodeKind::File(Contents::sparse(at + 77, extents).unwrap())
        }
        Thing::Symlink(target) => NodeKind::Symlink(target.clone().into()),
        Thing::HardLink(_) => return None,
        Thing::Device(true, major, minor) => {
            NodeKind::BlockDevice(DeviceNumber::new(*major, *minor).unwrap())
        }
        Thing::Device(false, major, minor) => {
            NodeKind::CharDevice(DeviceNumber::new(*major, *minor).unwrap())
        }
        Thing::Fifo => NodeKind::Fifo,
        Thing::Socket => NodeKind::Socket,
    })
}

fn bytes_of(tree: &Tree, contents: &Contents) -> Vec<u8> {
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

/// Compares `node` of the tree with `inode` of the image, and all below.
fn compare(
    tree: &Tree,
    node: NodeId,
    fs: &Fs<File>,
    inode: u32,
    inodes: &mut BTreeMap<NodeId, u32>,
) {
    let path = tree.path_of(node);
    let (wanted, found) = (tree.node(node), fs.inode(inode).unwrap());
    if let Some(known) = inodes.insert(node, inode) {
        assert_eq!(known, inode, "{path}: one node, two inodes");
        return;
    }
    assert_eq!(found.mode & 0o7777, wanted.attributes.mode, "{path}");
    assert_eq!(
        (found.uid, found.gid),
        (wanted.attributes.uid, wanted.attributes.gid),
        "{path}"
    );
    let time = mkext4::spec::Inode::timestamp(found.mtime, found.mtime_extra);
    assert_eq!(
        time,
        (
            wanted.attributes.mtime.seconds,
            wanted.attributes.mtime.nanoseconds
        ),
        "{path}"
    );
    let stored: BTreeMap<Vec<u8>, Vec<u8>> = fs
        .xattrs(inode)
        .unwrap()
        .into_iter()
        .map(|x| (x.full_name().unwrap(), x.value))
        .collect();
    let given: BTreeMap<Vec<u8>, Vec<u8>> = wanted
        .xattrs
        .iter()
        .map(|x| (x.name.to_vec(), x.value.to_vec()))
        .collect();
    assert_eq!(stored, given, "{path}");
    match wanted.kind {
        NodeKind::Directory => {
            let entries = fs.read_dir(inode).unwrap();
            let mut names: Vec<&[u8]> = entries.iter().map(|entry| &entry.name[..]).collect();
            names.retain(|name| *name != b"." && *name != b"..");
            assert_eq!(names.len(), tree.children(node).count(), "{path}");
            for child in tree.children(node) {
                let found = fs
                    .lookup(inode, child.name)
                    .unwrap()
                    .unwrap_or_else(|| panic!("{path}: a name is lost"));
                compare(tree, child.node, fs, found, inodes);
            }
        }
        NodeKind::File(contents) => {
            assert_eq!(found.links_count, wanted.links as u16, "{path}");
            assert!(
                fs.read_file(inode).unwrap() == bytes_of(tree, contents),
                "{path}: contents differ"
            );
        }
        NodeKind::Symlink(target) => {
            assert_eq!(fs.symlink_target(inode).unwrap(), target.to_vec(), "{path}")
        }
        NodeKind::CharDevice(number) | NodeKind::BlockDevice(number) => {
            assert_eq!(
                found.dev_numbers(),
                Some((number.major, number.minor)),
                "{path}"
            );
        }
        NodeKind::Fifo | NodeKind::Socket => {}
    }
}

fn written(tree: &Tree, path: &Path, options: &ImageOptions) {
    write_tree(tree, path, options, &mut |_| ControlFlow::Continue(())).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_are_clean_read_back_and_repeat(plan in proptest::collection::vec(planned(), 0..120), fits in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let tree = build(&plan);
        let label = Label::new("random").unwrap();
        let options = match fits {
            true => ImageOptions::base(label),
            false => ImageOptions::seed(96 << 20, label, Uuid::from_u128(5)),
        };
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        written(&tree, &first, &options);
        oracle::assert_clean(&first);
        // The reading side refuses holes that are larger than their file system.
        let roomy = ImageOptions { size: ImageSize::Exactly(96 << 20), ..options.clone() };
        let readable = dir.path().join("readable");
        written(&tree, &readable, &roomy);
        let fs = Fs::open(File::open(&readable).unwrap()).unwrap();
        prop_assert!(fs.verify().unwrap().is_empty());
        compare(&tree, tree.root(), &fs, 2, &mut BTreeMap::new());
        written(&build(&plan), &second, &options);
        prop_assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap());
        // This crate's own reader gives a tree that gives the same bytes again, written zeros included.
        let third = dir.path().join("third");
        written(&read_tree(&first).unwrap(), &third, &options);
        prop_assert!(std::fs::read(&first).unwrap() == std::fs::read(&third).unwrap());
    }
}
