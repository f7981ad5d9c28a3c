use proptest::prelude::*;

use super::*;
use crate::IndexBuilder;

fn index_of(entries: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut index = IndexBuilder::default();
    for (key, value, priority) in entries {
        index
            .insert(key.as_bytes(), value.as_bytes(), *priority)
            .unwrap();
    }
    index.finish().unwrap()
}

fn matching(file: &[u8], text: &str) -> Vec<String> {
    let found = Index::open(file)
        .unwrap()
        .matching(text.as_bytes())
        .unwrap();
    let text = |value: &Value<'_>| String::from_utf8(value.bytes.to_vec()).unwrap();
    found.iter().map(text).collect()
}

#[test]
fn patterns_and_plain_keys_are_found_by_priority() {
    let file = index_of(&[
        ("pci:v*d*sv*sd*bc01sc06i01*", "ahci", 9),
        ("pci:v00008086d00002922sv*sd*bc*sc*i*", "ata_piix", 3),
        ("pci:v00008086d00002922*", "first", 1),
        ("fs-xfs", "xfs", 5),
        ("fs-x*", "any", 4),
        ("net-pf-16-proto-[0-9]", "digit", 1),
        ("*", "all", 90),
    ]);
    let disk = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
    assert_eq!(matching(&file, disk), ["first", "ata_piix", "ahci", "all"]);
    assert_eq!(matching(&file, "fs-xfs"), ["any", "xfs", "all"]);
    assert_eq!(matching(&file, "net-pf-16-proto-7"), ["digit", "all"]);
    assert_eq!(matching(&file, "net-pf-16-proto-77"), ["all"]);
    let index = Index::open(&file).unwrap();
    assert_eq!(index.find(b"fs-xfs").unwrap()[0].bytes, b"xfs");
    assert!(index.find(b"fs-xf").unwrap().is_empty());
}

#[test]
fn a_file_of_something_else_is_refused() {
    for bytes in [&b""[..], b"\x7fELF", &[0; 64]] {
        assert_eq!(Index::open(bytes).unwrap_err(), IndexError::NotAnIndex);
    }
    let mut newer = index_of(&[("a", "b", 1)]);
    newer[5] = 3;
    assert_eq!(Index::open(&newer).unwrap_err(), IndexError::NotAnIndex);
}

#[test]
fn a_tree_that_leads_back_to_itself_ends_in_an_error() {
    let mut file = index_of(&[("*a", "x", 1), ("*b", "y", 2)]);
    let root = u32::from_be_bytes(file[8..12].try_into().unwrap());
    // Every pointer that the file has leads to the root.
    for at in (12..file.len() - 4).rev() {
        let pointer = u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
        if pointer & HAS_VALUES != 0 && pointer & OFFSET_MASK < 200 {
            file[at..at + 4].copy_from_slice(&root.to_be_bytes());
        }
    }
    let found = Index::open(&file).unwrap().matching(b"xa");
    assert_eq!(found.unwrap_err(), IndexError::Endless);
}

#[test]
fn every_damage_of_a_byte_ends_and_never_panics() {
    let file = index_of(&[
        ("fs-xfs", "xfs", 1),
        ("fs-*", "any", 2),
        ("fs-ext4", "ext4", 3),
    ]);
    for at in 0..file.len() {
        for value in [0, 0x20, 0x40, 0x7f, 0x80, 0xff] {
            let mut hostile = file.clone();
            hostile[at] = value;
            if let Ok(index) = Index::open(&hostile) {
                let _ = index.matching(b"fs-xfs");
                let _ = index.find(b"fs-ext4");
            }
        }
    }
    for length in 0..file.len() {
        if let Ok(index) = Index::open(&file[..length]) {
            assert!(index.find(b"fs-xfs").is_err(), "cut at {length}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_found(entries in prop::collection::btree_map("[a-c*?-]{0,6}", "[a-z]{0,3}", 0..40)) {
        let mut index = IndexBuilder::default();
        for (place, (key, value)) in entries.iter().enumerate() {
            index.insert(key.as_bytes(), value.as_bytes(), place as u32).unwrap();
        }
        let file = index.finish().unwrap();
        let index = Index::open(&file).unwrap();
        for (key, value) in &entries {
            prop_assert_eq!(index.find(key.as_bytes()).unwrap()[0].bytes, value.as_bytes());
        }
        for text in ["", "a", "ab", "abc-", "cab"] {
            let expected: Vec<&[u8]> = entries
                .iter()
                .filter(|(key, _)| matches(key.as_bytes(), text.as_bytes()))
                .map(|(_, value)| value.as_bytes())
                .collect();
            let found: Vec<&[u8]> = index.matching(text.as_bytes()).unwrap().iter().map(|value| value.bytes).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
