//! Good input, damaged at random: every parser answers with a value or an error, and what becomes a tree becomes a
//! clean image.
//!
//! Runs for one second per target, or for `BANGER_FUZZ_SECONDS`. A failure prints the seed; `BANGER_FUZZ_SEED` repeats it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod forge;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use banger_disk::{ImageOptions, Label, WriteError, read_tree, write_tree};
use banger_oci::layers::{Layer, merge};
use banger_oci::{ImageConfig, Limits, Reference, manifest, tree_from_archive};
use forge::Forged;

/// Numbers that follow from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `round` with one seed after the other until the time is over; tells which one failed.
fn rounds(mut round: impl FnMut(&mut Random)) {
    if let Some(seed) = variable("BANGER_FUZZ_SEED") {
        return round(&mut Random(seed));
    }
    let end = Instant::now() + Duration::from_secs(variable("BANGER_FUZZ_SECONDS").unwrap_or(1));
    // Different inputs on each run, the seed of each one is told.
    let mut seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    while Instant::now() < end {
        let tried =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| round(&mut Random(seed))));
        assert!(tried.is_ok(), "repeat with BANGER_FUZZ_SEED={seed}");
        seed = seed.wrapping_add(2);
    }
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    const VALUES: [u8; 12] = [
        0, b'0', b'7', b'9', b'/', b'.', b' ', b'\n', 0x7F, 0x80, 0xFF, b'S',
    ];
    for _ in 0..=random.below(6) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, [VALUES[random.below(12)]; 3])),
            2 => drop(bytes.remove(at)),
            3 => {
                let from = random.below(bytes.len());
                let len = random.below(600).min(bytes.len() - from.max(at));
                bytes.copy_within(from..from + len, at);
            }
            4 => bytes[at] ^= 1 << random.below(8),
            _ => bytes[at] = VALUES[random.below(12)],
        }
    }
}

/// Puts the checksums of damaged headers right, so that the damage is looked at.
fn repair_checksums(bytes: &mut [u8]) {
    for block in bytes
        .chunks_exact_mut(512)
        .filter(|block| block.get(257..262) == Some(b"ustar"))
    {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

fn archive() -> Vec<u8> {
    Forged::new()
        .entry(b'5', b"usr/", b"", b"")
        .pax(
            "SCHILY.xattr.security.capability",
            b"\x01\0\0\x02\n\0\0\0\0\0\0\0",
        )
        .entry(b'0', b"usr/ping", b"", &[7; 5000])
        .pax(
            "SCHILY.acl.access",
            b"user::rwx,user:1001:rw-,group::r-x,mask::rwx,other::r--",
        )
        .entry(b'0', b"usr/listed", b"", b"acl")
        .pax("GNU.sparse.map", b"0,512,4096,512")
        .entry(b'0', b"sparse", b"", &[9; 1024])
        .entry(b'L', b"././@LongLink", b"", &[b'n'; 150])
        .entry(b'0', b"short", b"", b"x")
        .entry(b'2', b"lib", b"usr", b"")
        .entry(b'1', b"lib/hard", b"usr/ping", b"")
        .pax("mtime", b"-17.25")
        .entry(b'3', b"null", b"", b"")
        .entry(b'0', b"usr/.wh.ping", b"", b"")
        .entry(b'0', b"usr/.wh..wh..opq", b"", b"")
        .entry(b'6', b"pipe", b"", b"")
        .end()
}

fn is_clean(image: &Path) -> bool {
    let checked = Command::new("/sbin/e2fsck")
        .arg("-fn")
        .arg(image)
        .output()
        .expect("e2fsck is installed");
    checked.status.success()
}

/// Checks that the tree read back from an image gives the same image.
fn same_again(image: &Path, options: &ImageOptions) {
    // Holes may be as large as a number; comparing them byte by byte tells nothing new.
    if std::fs::metadata(image).unwrap().len() > 16 << 20 {
        return;
    }
    let again = image.with_extension("again");
    let tree = read_tree(image).unwrap();
    write_tree(&tree, &again, options, &mut |_| ControlFlow::Continue(())).unwrap();
    let same = std::fs::read(image).unwrap() == std::fs::read(&again).unwrap();
    std::fs::remove_file(&again).unwrap();
    assert!(same, "reading the image back gives another one");
}

#[test]
fn damaged_archives_become_errors_or_clean_images() {
    let dir = tempfile::tempdir().unwrap();
    let (path, image) = (dir.path().join("archive"), dir.path().join("image"));
    let go_on = &mut |_| ControlFlow::Continue(());
    rounds(|random| {
        let mut bytes = archive();
        damage(random, &mut bytes);
        repair_checksums(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let Ok(files) = tree_from_archive(&path, dir.path(), Limits::default(), go_on) else {
            return;
        };
        // A hole may have any size: one that does not fit is refused before a file is made.
        let options = ImageOptions {
            digest: false,
            ..ImageOptions::base(Label::new("damaged").unwrap())
        };
        match write_tree(&files.tree, &image, &options, &mut |_| {
            ControlFlow::Continue(())
        }) {
            Ok(_) => {
                assert!(is_clean(&image), "e2fsck is not content");
                same_again(&image, &options);
            }
            Err(error) => assert!(
                !matches!(error, WriteError::Create { .. } | WriteError::Write { .. }),
                "{error}"
            ),
        }
        let _gone_or_never_made = std::fs::remove_file(&image);
    });
}

#[test]
fn damaged_layers_become_errors_or_trees() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layer");
    rounds(|random| {
        let layers = [0, 1].map(|number| {
            let mut bytes = archive();
            damage(random, &mut bytes);
            repair_checksums(&mut bytes);
            std::fs::write(&path, &bytes).unwrap();
            let file = std::fs::File::open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            Layer {
                name: format!("layer-{number}"),
                file: std::sync::Arc::new(file),
                range: 0..bytes.len() as u64,
            }
        });
        if let Ok(files) = merge(&layers, Limits::default()) {
            assert!(files.tree.entry_count() < 100);
        }
    });
}

#[test]
fn damaged_documents_and_names_become_errors_or_values() {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let blob = format!(
        r#"{{"digest":"{digest}","size":12,"mediaType":"m","platform":{{"architecture":"amd64","os":"linux"}}}}"#
    );
    let documents = [
        format!(r#"{{"schemaVersion":2,"manifests":[{blob},{blob}]}}"#),
        format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{blob}]}}"#),
        format!(
            r#"{{"config":{{"Env":["A=b"],"Cmd":["x"]}},"rootfs":{{"diff_ids":["{digest}"]}},"history":[{{}}]}}"#
        ),
    ];
    let names = [
        "docker.io/library/debian:12",
        "[::1]:5000/a/b__c:t",
        "localhost/x@sha256:00",
    ];
    rounds(|random| {
        let mut bytes = documents[random.below(3)].clone().into_bytes();
        damage(random, &mut bytes);
        let _ = manifest::parse(&bytes);
        let _ = ImageConfig::parse(&bytes);
        let mut name = names[random.below(3)].as_bytes().to_vec();
        damage(random, &mut name);
        if let Ok(reference) = String::from_utf8_lossy(&name).parse::<Reference>() {
            // An accepted name is written so that it is accepted again, and means the same.
            assert_eq!(
                reference.to_string().parse::<Reference>().unwrap(),
                reference
            );
        }
    });
}
