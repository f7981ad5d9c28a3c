//! Layers over each other: hidden, kept and replaced entries.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod forge;

use std::io::Write;
use std::sync::Arc;

use banger_disk::tree::{NodeKind, Tree};
use banger_oci::Limits;
use banger_oci::layers::{Layer, LayerError, merge};
use forge::{Forged, told};

fn layer(name: &str, forged: Forged) -> Layer {
    let bytes = forged.end();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    Layer {
        name: name.to_owned(),
        file: Arc::new(file),
        range: 0..bytes.len() as u64,
    }
}

fn merged(layers: Vec<Forged>) -> Result<Tree, LayerError> {
    let numbered = layers.into_iter().enumerate();
    let layers: Vec<Layer> = numbered
        .map(|(number, forged)| layer(&format!("layer-{number}"), forged))
        .collect();
    merge(&layers, Limits::default()).map(|files| files.tree)
}

fn has(tree: &Tree, path: &str) -> bool {
    tree.lookup_path(path.as_bytes()).is_some()
}

fn size(tree: &Tree, path: &str) -> u64 {
    match tree.node(tree.lookup_path(path.as_bytes()).unwrap()).kind {
        NodeKind::File(contents) => contents.size(),
        other => panic!("{path} is {other:?}"),
    }
}

fn base() -> Forged {
    Forged::new()
        .entry(b'5', b"etc/", b"", b"")
        .entry(b'0', b"etc/old", b"", b"1")
        .entry(b'0', b"etc/kept", b"", b"22")
        .entry(b'5', b"dir/", b"", b"")
        .entry(b'0', b"dir/below", b"", b"333")
        .entry(b'1', b"dir/link", b"etc/kept", b"")
}

#[test]
fn a_whiteout_hides_what_is_below_and_nothing_else() {
    let upper = Forged::new()
        .entry(b'0', b"etc/.wh.old", b"", b"")
        .entry(b'0', b".wh.dir", b"", b"");
    let tree = merged(vec![base(), upper]).unwrap();
    assert!(!has(&tree, "etc/old") && !has(&tree, "dir"));
    assert_eq!(size(&tree, "etc/kept"), 2);
    assert_eq!(tree.node(tree.lookup_path(b"etc/kept").unwrap()).links, 1);
}

#[test]
fn a_whiteout_does_not_hide_what_its_own_layer_brings_wherever_it_stands() {
    for whiteout_first in [true, false] {
        let brings = |f: Forged| f.entry(b'0', b"etc/old", b"", b"4444");
        let hides = |f: Forged| f.entry(b'0', b"etc/.wh.old", b"", b"");
        let upper = match whiteout_first {
            true => brings(hides(Forged::new())),
            false => hides(brings(Forged::new())),
        };
        assert_eq!(size(&merged(vec![base(), upper]).unwrap(), "etc/old"), 4);
    }
}

#[test]
fn an_opaque_directory_shows_only_its_own_layer() {
    let upper =
        Forged::new()
            .entry(b'0', b"dir/new", b"", b"x")
            .entry(b'0', b"dir/.wh..wh..opq", b"", b"");
    let tree = merged(vec![base(), upper]).unwrap();
    assert!(has(&tree, "dir/new"));
    assert!(!has(&tree, "dir/below") && !has(&tree, "dir/link") && !has(&tree, "dir/.wh..wh..opq"));
    assert!(has(&tree, "etc/old"));
}

#[test]
fn a_whiteout_and_a_directory_of_the_same_name_make_it_new() {
    let upper = Forged::new()
        .entry(b'5', b"dir/", b"", b"")
        .entry(b'0', b"dir/own", b"", b"")
        .entry(b'0', b".wh.dir", b"", b"");
    let tree = merged(vec![base(), upper]).unwrap();
    assert!(has(&tree, "dir/own") && !has(&tree, "dir/below"));
}

#[test]
fn directories_are_merged_and_other_kinds_replace_each_other() {
    let upper = Forged::new()
        .entry(b'5', b"etc", b"", b"")
        .entry(b'0', b"dir", b"", b"now a file")
        .entry(b'5', b"etc/old/", b"", b"");
    let tree = merged(vec![base(), upper]).unwrap();
    assert!(has(&tree, "etc/kept") && !has(&tree, "dir/below"));
    assert_eq!(size(&tree, "dir"), 10);
    assert!(
        tree.node(tree.lookup_path(b"etc/old").unwrap())
            .kind
            .is_directory()
    );
}

#[test]
fn hard_links_reach_into_lower_layers_and_a_new_file_leaves_its_old_names_alone() {
    let second = Forged::new().entry(b'1', b"third", b"etc/kept", b"");
    let third = Forged::new().entry(b'0', b"etc/kept", b"", b"55555");
    let tree = merged(vec![base(), second, third]).unwrap();
    assert_eq!(tree.lookup_path(b"third"), tree.lookup_path(b"dir/link"));
    assert_eq!((size(&tree, "third"), size(&tree, "etc/kept")), (2, 5));
}

#[test]
fn links_of_lower_layers_lead_the_way_for_upper_ones() {
    let lower = Forged::new()
        .entry(b'5', b"usr/lib/", b"", b"")
        .entry(b'2', b"lib", b"usr/lib", b"");
    let middle =
        Forged::new()
            .entry(b'0', b"lib/so", b"", b"x")
            .entry(b'0', b"lib/gone", b"", b"x");
    let upper = Forged::new().entry(b'0', b"lib/.wh.gone", b"", b"");
    let tree = merged(vec![lower, middle, upper]).unwrap();
    assert!(has(&tree, "usr/lib/so") && !has(&tree, "usr/lib/gone"));
}

/// A directory with a file, and a link to it.
fn linked() -> Forged {
    Forged::new()
        .entry(b'5', b"target/", b"", b"")
        .entry(b'0', b"target/keep", b"", b"22")
        .entry(b'2', b"link", b"/target", b"")
}

#[test]
fn a_link_that_a_layer_replaces_leads_its_names_nowhere_in_any_order() {
    let entries: [(u8, &[u8]); 4] = [
        (b'5', b"link/"),
        (b'0', b"link/.wh..wh..opq"),
        (b'0', b"link/.wh.keep"),
        (b'0', b"link/new"),
    ];
    for first in 0..entries.len() {
        let mut upper = Forged::new();
        for (kind, name) in entries.iter().cycle().skip(first).take(entries.len()) {
            upper = upper.entry(*kind, name, b"", b"");
        }
        let tree = merged(vec![linked(), upper]).unwrap();
        assert!(
            has(&tree, "target/keep") && has(&tree, "link/new"),
            "{first}"
        );
        assert!(!has(&tree, "target/new"), "{first}");
    }
}

#[test]
fn an_opaque_directory_without_an_entry_replaces_a_link_as_well() {
    let upper = Forged::new().entry(b'0', b"link/new", b"", b"").entry(
        b'0',
        b"link/.wh..wh..opq",
        b"",
        b"",
    );
    let tree = merged(vec![linked(), upper]).unwrap();
    assert!(has(&tree, "target/keep") && has(&tree, "link/new"));
}

#[test]
fn a_whiteout_of_a_link_takes_the_link_and_nothing_behind_it() {
    for order in [[0, 1], [1, 0]] {
        let names: [&[u8]; 2] = [b".wh.link", b"link/.wh.keep"];
        let upper = order.iter().fold(Forged::new(), |upper, &at: &usize| {
            upper.entry(b'0', names[at], b"", b"")
        });
        let tree = merged(vec![linked(), upper]).unwrap();
        assert!(has(&tree, "target/keep") && !has(&tree, "link"));
    }
}

#[test]
fn links_that_the_layer_leaves_or_writes_again_lead_its_whiteouts() {
    for again in [false, true] {
        let mut upper = Forged::new().entry(b'0', b"link/.wh.keep", b"", b"");
        if again {
            upper = upper.entry(b'2', b"link", b"/target", b"");
        }
        let tree = merged(vec![linked(), upper]).unwrap();
        assert!(!has(&tree, "target/keep") && has(&tree, "link"));
    }
    // By way of one link, another one is replaced.
    let lower =
        linked()
            .entry(b'2', b"target/inner", b"/etc", b"")
            .entry(b'0', b"etc/kept", b"", b"");
    let upper = Forged::new()
        .entry(b'0', b"link/inner/.wh.kept", b"", b"")
        .entry(b'5', b"link/inner/", b"", b"");
    let tree = merged(vec![lower, upper]).unwrap();
    assert!(has(&tree, "etc/kept") && has(&tree, "target/inner"));
}

#[test]
fn a_directory_without_an_entry_hides_a_lower_file_but_not_one_behind_a_link() {
    let lower = Forged::new()
        .entry(b'0', b"data", b"", b"file")
        .entry(b'2', b"link", b"data", b"");
    let upper = Forged::new().entry(b'0', b"data/x", b"", b"1");
    let tree = merged(vec![lower, upper]).unwrap();
    assert_eq!(size(&tree, "data/x"), 1);
    let lower = Forged::new()
        .entry(b'0', b"data", b"", b"file")
        .entry(b'2', b"link", b"data", b"");
    let upper = Forged::new().entry(b'0', b"link/x", b"", b"1");
    let refused = told(&merged(vec![lower, upper]).unwrap_err());
    assert!(
        refused.ends_with("\"/data\" on its way is not a directory"),
        "{refused}"
    );
}

#[test]
fn whiteouts_of_nothing_change_nothing() {
    let upper = Forged::new()
        .entry(b'0', b"nowhere/.wh.x", b"", b"")
        .entry(b'0', b"etc/old/.wh.x", b"", b"")
        .entry(b'0', b".wh..wh.plnk", b"", b"")
        .entry(b'0', b".wh.absent", b"", b"");
    let tree = merged(vec![base(), upper]).unwrap();
    assert!(!has(&tree, "nowhere") && has(&tree, "etc/old"));
    assert_eq!(tree.entry_count(), 6);
}

#[test]
fn a_layer_without_blocks_of_zeros_at_its_end_is_whole() {
    let mut whole = layer("whole", base());
    whole.range.end -= 1024;
    assert!(has(
        &merge(&[whole], Limits::default()).unwrap().tree,
        "dir/link"
    ));
}

#[test]
fn hostile_whiteouts_and_names_tell_layer_and_entry() {
    let upper = Forged::new().entry(b'0', b"etc/.wh...", b"", b"");
    let refused = told(&merged(vec![base(), upper]).unwrap_err());
    assert_eq!(
        refused,
        "cannot take \"etc/.wh...\" of layer layer-1: it is a whiteout without a name"
    );
    let upper = Forged::new().entry(b'0', b"../.wh.etc", b"", b"");
    let refused = told(&merged(vec![base(), upper]).unwrap_err());
    assert_eq!(
        refused,
        "cannot take \"../.wh.etc\" of layer layer-1: its name leads out of the archive"
    );
}

/// The most memory that this process has taken so far, in bytes (proc_pid_status(5)).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

/// A layer that claims ten million entries, has `real` of them, and then nothing but holes. A reader that goes on from
/// there takes the layer for complete, because blocks of zeros end an archive.
fn ten_million(name: &str, real: u64, entry: impl Fn(u64) -> Forged) -> Layer {
    const ENTRIES: u64 = 10_000_000;
    let mut file = std::io::BufWriter::new(tempfile::tempfile().unwrap());
    for number in 0..real {
        file.write_all(&entry(number).bytes).unwrap();
    }
    let file = file.into_inner().unwrap();
    file.set_len(ENTRIES * 512).unwrap();
    Layer {
        name: name.to_owned(),
        file: Arc::new(file),
        range: 0..ENTRIES * 512,
    }
}

#[test]
fn a_layer_of_ten_million_entries_stops_within_bounded_memory_and_names_the_entry() {
    let target = [b't'; 100];
    let many = ten_million("sha256:many", 600_000, |number| {
        let mut forged = Forged::new();
        let name = format!("{number:08}{}", "n".repeat(92));
        forged.header(b'2', name.as_bytes(), &target, b"00000000000\0");
        forged
    });
    let refused = told(&merge(&[many], Limits::default()).unwrap_err());
    assert!(refused.contains("nnn\" of layer sha256:many"), "{refused}");
    assert!(
        refused.contains("bytes of names and attributes"),
        "{refused}"
    );
    assert!(peak() < 200 << 20, "{} MiB", peak() >> 20);
}

#[test]
fn entries_that_take_no_memory_are_counted_in_whichever_layer_they_come() {
    let limits = Limits {
        entries: 20_000,
        ..Limits::default()
    };
    let same = |_: u64| Forged::new().entry(b'5', b"same", b"", b"");
    let whiteout = |number: u64| {
        let name = format!("same/.wh.{number}");
        Forged::new().entry(b'0', name.as_bytes(), b"", b"")
    };
    let lower = ten_million("sha256:lower", limits.entries + 1, same);
    let refused = told(&merge(&[lower], limits).unwrap_err());
    assert_eq!(
        refused,
        "cannot take \"same\" of layer sha256:lower: it is one of more than 20000 entries"
    );
    let upper = ten_million("sha256:upper", limits.entries, whiteout);
    let refused = told(&merge(&[layer("base", base()), upper], limits).unwrap_err());
    assert!(
        refused.contains("of layer sha256:upper: it is one of more than 20000 entries"),
        "{refused}"
    );
}
