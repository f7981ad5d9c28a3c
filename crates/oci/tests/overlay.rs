//! Layers as engines write them, in any order, against a simple model of an overlay.
//!
//! The model knows no archive, no link on a way and no order: a tree below, a tree above, and the merged view.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod forge;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use banger_disk::tree::{NodeId, NodeKind, Tree};
use banger_oci::Limits;
use banger_oci::layers::{Layer, merge};
use forge::Forged;
use proptest::prelude::*;

/// Visible content of a name. A file is known by its size.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    File(u8),
    Link(&'static str),
    Dir(BTreeMap<&'static str, Seen>),
}

/// Content that a layer gives to one name.
#[derive(Debug, Clone)]
enum Said {
    File(u8),
    Link(&'static str),
    Dir {
        hides: Hides,
        children: BTreeMap<&'static str, Said>,
    },
    Gone,
}

/// Way in which a directory of a layer hides the one below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hides {
    No,
    /// By a mark in it.
    Opaque,
    /// By a whiteout of its name beside it.
    Whiteout,
}

fn show(lower: Option<&Seen>, said: &Said) -> Option<Seen> {
    match said {
        Said::Gone => None,
        Said::File(size) => Some(Seen::File(*size)),
        Said::Link(target) => Some(Seen::Link(target)),
        Said::Dir { hides, children } => {
            let mut seen = match lower {
                Some(Seen::Dir(below)) if *hides == Hides::No => below.clone(),
                _ => BTreeMap::new(),
            };
            for (name, said) in children {
                match show(seen.get(name), said) {
                    Some(shown) => seen.insert(name, shown),
                    None => seen.remove(name),
                };
            }
            Some(Seen::Dir(seen))
        }
    }
}

/// Entries of the layer: kind, name, link target, data.
type Entries = Vec<(u8, String, &'static str, usize)>;

fn entries(said: &Said, path: &str, all: &mut Entries) {
    let beside = |name: &str| match path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    };
    let name = path.rsplit('/').next().unwrap();
    let whiteout = beside(&format!(".wh.{name}"));
    match said {
        Said::File(size) => all.push((b'0', path.to_owned(), "", usize::from(*size))),
        Said::Link(target) => all.push((b'2', path.to_owned(), target, 0)),
        Said::Gone => all.push((b'0', whiteout, "", 0)),
        Said::Dir { hides, children } => {
            all.push((b'5', format!("{path}/"), "", 0));
            match hides {
                Hides::No => {}
                Hides::Opaque => all.push((b'0', format!("{path}/.wh..wh..opq"), "", 0)),
                Hides::Whiteout => all.push((b'0', whiteout, "", 0)),
            }
            for (name, said) in children {
                entries(said, &format!("{path}/{name}"), all);
            }
        }
    }
}

fn layer(number: usize, entries: &Entries) -> Layer {
    let mut forged = Forged::new();
    for (kind, name, target, size) in entries {
        forged = forged.entry(
            *kind,
            name.as_bytes(),
            target.as_bytes(),
            &vec![b'x'; *size],
        );
    }
    let bytes = forged.end();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    Layer {
        name: format!("layer-{number}"),
        file: Arc::new(file),
        range: 0..bytes.len() as u64,
    }
}

fn seen(tree: &Tree, node: NodeId) -> Seen {
    match tree.node(node).kind {
        NodeKind::File(contents) => Seen::File(contents.size() as u8),
        NodeKind::Symlink(target) => {
            Seen::Link(TARGETS.iter().find(|t| t.as_bytes() == &**target).unwrap())
        }
        NodeKind::Directory => Seen::Dir(
            tree.children(node)
                .map(|child| {
                    let name = NAMES.iter().find(|n| n.as_bytes() == child.name).unwrap();
                    (*name, seen(tree, child.node))
                })
                .collect(),
        ),
        other => panic!("{other:?}"),
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TARGETS: [&str; 8] = ["a", "/b", "../c", "/a/b", "c/d", ".", "/", "d/nowhere"];

fn said() -> impl Strategy<Value = Said> {
    let leaf = prop_oneof![
        3 => (1_u8..40).prop_map(Said::File),
        4 => prop::sample::select(&TARGETS[..]).prop_map(Said::Link),
        2 => Just(Said::Gone),
    ];
    let hides = prop_oneof![
        3 => Just(Hides::No),
        2 => Just(Hides::Opaque),
        1 => Just(Hides::Whiteout),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        (hides.clone(), children(inner)).prop_map(|(hides, children)| Said::Dir { hides, children })
    })
}

fn children(
    inner: impl Strategy<Value = Said>,
) -> impl Strategy<Value = BTreeMap<&'static str, Said>> {
    prop::collection::btree_map(prop::sample::select(&NAMES[..]), inner, 0..4)
}

/// A layer: the content below its root, and its entries in some order.
fn said_layer() -> impl Strategy<Value = (Said, Entries)> {
    children(said()).prop_flat_map(|children| {
        let mut all = Vec::new();
        for (name, said) in &children {
            entries(said, name, &mut all);
        }
        let said = Said::Dir {
            hides: Hides::No,
            children,
        };
        (Just(said), Just(all).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn layers_show_what_an_overlay_of_them_shows(
        said in prop::collection::vec(said_layer(), 1..4)
    ) {
        let mut expected = Seen::Dir(BTreeMap::new());
        for (said, _) in &said {
            expected = show(Some(&expected), said).unwrap();
        }
        let layers: Vec<Layer> = said
            .iter()
            .enumerate()
            .map(|(number, (_, entries))| layer(number, entries))
            .collect();
        let files = merge(&layers, Limits::default()).unwrap();
        prop_assert_eq!(seen(&files.tree, files.tree.root()), expected);
        prop_assert!(files.losses.is_empty());
    }
}
