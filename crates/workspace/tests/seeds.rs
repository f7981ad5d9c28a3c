//! The stored inputs of the fuzz targets (`fuzz/seeds`), and what becomes of them when they are damaged, always in the same
//! ways: `make fuzz` begins with the same files and goes on for as long as is wanted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on has failed

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use banger_workspace::devcontainer::{Devcontainer, Host};
use banger_workspace::pins::{mise, tool_versions};

/// Damages of each seed.
const DAMAGES: u64 = 2000;

/// Each seed as it is, then damaged.
fn each(target: &str, mut check: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let mut seeds = 0;
    for seed in fs::read_dir(folder).unwrap() {
        let bytes = fs::read(seed.unwrap().path()).unwrap();
        check(&bytes);
        (1..=DAMAGES).for_each(|round| check(&damaged(&bytes, round)));
        seeds += 1;
    }
    assert!(seeds > 0);
}

/// One to four bytes are changed, a piece is said twice, or the end is cut off.
fn damaged(bytes: &[u8], round: u64) -> Vec<u8> {
    let mut state = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ bytes.len() as u64;
    let mut next = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end.max(1) as u64) as usize
    };
    let mut bytes = bytes.to_vec();
    for _ in 0..=next(4) {
        let at = next(bytes.len());
        match next(6) {
            0 => bytes.truncate(at),
            1 => {
                let piece = bytes[at..(at + next(40)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            2 if at < bytes.len() => bytes[at] ^= 1 << next(8),
            _ if at < bytes.len() => bytes[at] = b"\0\"{}[]:,$/*\\#\n=\xff"[next(16)],
            _ => {}
        }
    }
    bytes
}

#[test]
fn devcontainers_become_errors_or_bounded_wishes_that_know_nothing_of_the_host() {
    let mut understood = 0;
    each("devcontainer", |bytes| {
        let host = Host {
            folder: "folder",
            guest_folder: "/root/folder",
            variable: &|name| panic!("{name} was asked for, and nobody had named it"),
            named: &BTreeSet::new(),
        };
        let Ok(file) = Devcontainer::parse(bytes) else {
            return;
        };
        let Ok(resolved) = file.resolve(&host) else {
            return;
        };
        for (_, commands) in &resolved.commands {
            assert!(!commands.argv().is_empty());
        }
        let guest: BTreeMap<_, _> = resolved
            .asks_guest()
            .into_iter()
            .map(|name| (name, "x".repeat(1000)))
            .collect();
        for (name, value) in resolved.env.iter().chain(&resolved.told(&guest).unwrap()) {
            assert!(!name.contains(['=', '\0']) && !value.contains('\0'));
        }
        understood += 1;
    });
    assert!(understood > 100, "{understood}");
}

#[test]
fn pinned_tools_become_short_harmless_words() {
    each("tool_pins", |bytes| {
        for tools in [mise(bytes), tool_versions(bytes)].into_iter().flatten() {
            for (name, version) in tools {
                let told = format!("{name}{version}");
                assert!(!told.contains(char::is_control) && told.chars().count() <= 120);
            }
        }
    });
}
