//! The stored inputs of the fuzz targets (`fuzz/seeds`), and what becomes of them when they are damaged, always in the same
//! ways: `make fuzz` begins with the same files and goes on for as long as is wanted.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_disk::{ImageOptions, Label, read_tree, write_tree};
use banger_oci::layers::{Layer, merge};
use banger_oci::{ImageConfig, Limits, Platform, Reference, manifest, tree_from_archive};

/// Most time for one kind of input. All damages of a few seeds take less on an idle machine.
const LIMIT: Duration = Duration::from_secs(5);
/// Damages of each seed.
const DAMAGES: u64 = 300;

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    seeds
}

/// Each seed as it is, then damaged.
fn each(target: &str, mut check: impl FnMut(&Path, &[u8])) {
    let end = Instant::now() + LIMIT;
    let seeds = seeds(target);
    for (path, bytes) in &seeds {
        check(path, bytes);
    }
    for round in 1..=DAMAGES {
        for (path, bytes) in &seeds {
            if Instant::now() > end {
                return;
            }
            check(path, &damaged(bytes, round));
        }
    }
}

/// One to three bytes are changed, or the end is cut off; headers of archives get their checksums put right.
fn damaged(bytes: &[u8], round: u64) -> Vec<u8> {
    let mut state = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ bytes.len() as u64;
    let mut next = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end.max(1) as u64) as usize
    };
    let mut bytes = bytes.to_vec();
    for _ in 0..=next(3) {
        let at = next(bytes.len());
        match (next(5), bytes.get_mut(at)) {
            (0, _) => bytes.truncate(at),
            (1, Some(byte)) => *byte ^= 1 << next(8),
            (_, Some(byte)) => *byte = b"\0 09/.-~S\xFF"[next(10)],
            (_, None) => {}
        }
    }
    for block in bytes.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].copy_from_slice(b"        ");
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

fn options() -> ImageOptions {
    ImageOptions {
        digest: false,
        ..ImageOptions::base(Label::new("seed").unwrap())
    }
}

#[test]
fn archives_become_errors_or_images_that_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, image) = (dir.path().join("archive"), dir.path().join("image"));
    let mut images = 0;
    each("rootfs_archive", |_, bytes| {
        fs::write(&archive, bytes).unwrap();
        let go_on = &mut |_| ControlFlow::Continue(());
        let Ok(tree) = tree_from_archive(&archive, dir.path(), Limits::default(), go_on) else {
            return;
        };
        if write_tree(
            &tree,
            &image,
            &options(),
            &mut |_| ControlFlow::Continue(()),
        )
        .is_ok()
        {
            assert_eq!(read_tree(&image).unwrap().entry_count(), tree.entry_count());
            fs::remove_file(&image).unwrap();
            images += 1;
        }
    });
    assert!(images > 3, "{images}");
}

#[test]
fn layers_become_errors_or_trees() {
    each("image_layers", |_, bytes| {
        let (lower, upper) = bytes.split_at(bytes.len() / 2 / 512 * 512);
        let layers = [lower, upper].map(|bytes| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            Layer {
                name: "layer".to_owned(),
                file: Arc::new(file),
                range: 0..bytes.len() as u64,
            }
        });
        if let Err(error) = merge(&layers, Limits::default()) {
            assert!(error.to_string().contains("layer"), "{error}");
        }
    });
}

#[test]
fn documents_and_references_become_errors_or_values() {
    each("image_documents", |path, bytes| {
        let parsed = manifest::parse(bytes);
        let config = ImageConfig::parse(bytes);
        if fs::read(path).unwrap() == bytes {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(
                parsed.is_ok(),
                matches!(name, "index" | "manifest" | "sizes"),
                "{name}"
            );
            assert_eq!(config.is_ok(), name == "config", "{name}");
        }
        if let Ok(platform) = String::from_utf8_lossy(bytes).parse::<Platform>() {
            assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform);
        }
    });
    each("image_reference", |_, bytes| {
        if let Ok(reference) = String::from_utf8_lossy(bytes).parse::<Reference>() {
            assert_eq!(
                reference.to_string().parse::<Reference>().unwrap(),
                reference
            );
        }
    });
}
