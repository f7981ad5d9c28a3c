//! An archive as a disk image, beside unpacking it and `mke2fs -d`, in one run: medians.
//!
//! `cargo bench -p banger-oci [-- ARCHIVE…]`. Without an archive: a made-up tree of 20,000 files and 182 MB, plain and
//! gzip. Not a pass or fail: numbers to compare with each other.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // it measures and prints

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banger_disk::{ImageOptions, Label, write_tree};
use banger_oci::{Limits, tree_from_archive};

const ROUNDS: usize = 11;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let mut archives: Vec<PathBuf> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .map(PathBuf::from)
        .collect();
    if archives.is_empty() {
        archives = made_up(dir.path());
    }
    for archive in archives {
        let (mut tree, mut image, mut both, mut usual) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (reading, writing) = ours(&archive, dir.path());
            tree.push(reading);
            image.push(writing);
            both.push(reading + writing);
            usual.push(unpack_and_mke2fs(&archive, dir.path()));
        }
        let (ours, theirs) = (median(both), median(usual));
        println!(
            "{} ({} MB), medians of {ROUNDS}",
            archive.display(),
            fs::metadata(&archive).unwrap().len() / 1_000_000
        );
        println!(
            "  archive to image     {ours:>8.0} ms (tree {:.0}, image {:.0})",
            median(tree),
            median(image)
        );
        println!(
            "  tar x + mke2fs -d    {theirs:>8.0} ms  {:.1} times as long",
            theirs / ours
        );
    }
}

fn ours(archive: &Path, dir: &Path) -> (Duration, Duration) {
    let image = dir.join("ours.ext4");
    let start = Instant::now();
    let tree = tree_from_archive(archive, dir, Limits::default(), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let read = start.elapsed();
    let options = ImageOptions::base(Label::new("bench").unwrap());
    write_tree(&tree, &image, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let all = start.elapsed();
    fs::remove_file(image).unwrap();
    (read, all - read)
}

fn unpack_and_mke2fs(archive: &Path, dir: &Path) -> Duration {
    let (root, image) = (dir.join("unpacked"), dir.join("theirs.ext4"));
    fs::create_dir(&root).unwrap();
    let start = Instant::now();
    run(Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("--xattrs")
        .arg("-xpf")
        .arg(archive));
    run(Command::new("/sbin/mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(&root)
        .arg(&image)
        .arg("2G"));
    let time = start.elapsed();
    fs::remove_dir_all(root).unwrap();
    fs::remove_file(image).unwrap();
    time
}

fn run(command: &mut Command) {
    assert!(
        command.stdout(Stdio::null()).status().unwrap().success(),
        "{command:?}"
    );
}

/// 20,000 files in 400 directories, most of them small, 182 MB in all.
fn made_up(dir: &Path) -> Vec<PathBuf> {
    let root = dir.join("made-up");
    let mut state = 1_u64;
    let mut block = vec![0_u8; 1 << 20];
    for (at, byte) in block.iter_mut().enumerate() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Half noise, half text: compresses about as programs do.
        *byte = if at % 64 < 32 {
            (state >> 56) as u8
        } else {
            b'a' + (at % 16) as u8
        };
    }
    for number in 0..20_000_usize {
        let folder = root.join(format!("usr/share/{}/{}", number % 20, number / 20 % 20));
        if number < 400 {
            fs::create_dir_all(&folder).unwrap();
        }
        let len = if number % 100 == 0 {
            600_000
        } else {
            500 + number * 7919 % 5_100
        };
        let start = number * 31 % (block.len() - len);
        fs::write(
            folder.join(format!("file-{number}")),
            &block[start..start + len],
        )
        .unwrap();
    }
    let (plain, gzip) = (dir.join("made-up.tar"), dir.join("made-up.tar.gz"));
    run(Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("-cf")
        .arg(&plain)
        .arg("."));
    run(Command::new("gzip").arg("-k6").arg(&plain));
    fs::remove_dir_all(root).unwrap();
    vec![plain, gzip]
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
