//! An archive as a disk image, beside unpacking it and `mke2fs -d`, in one run: medians.
//!
//! `cargo bench -p banger-oci [-- ARCHIVE…]`. Without an archive: a made-up tree of 20,000 files and 182 MB, plain and
//! gzip. Not a pass or fail: numbers to compare with each other.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // it measures and prints

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use banger_disk::{ImageOptions, Label, write_tree};
use banger_measure::{Samples, half_noise, in_ms, timed};
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
        let (mut tree, mut image) = (Samples::default(), Samples::default());
        let (mut both, mut usual) = (Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            let (reading, writing) = ours(&archive, dir.path());
            tree.push(reading);
            image.push(writing);
            both.push(reading + writing);
            usual.push(unpack_and_mke2fs(&archive, dir.path()));
        }
        let (ours, theirs) = (in_ms(both.median()), in_ms(usual.median()));
        println!(
            "{} ({} MB), medians of {ROUNDS}",
            archive.display(),
            fs::metadata(&archive).unwrap().len() / 1_000_000
        );
        println!(
            "  archive to image     {ours:>8.0} ms (tree {:.0}, image {:.0})",
            in_ms(tree.median()),
            in_ms(image.median())
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
    .unwrap()
    .tree;
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
    let unpacked = timed(
        Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("--xattrs")
            .arg("-xpf")
            .arg(archive),
    );
    let made = timed(
        Command::new("/sbin/mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-d"])
            .arg(&root)
            .arg(&image)
            .arg("2G"),
    );
    fs::remove_dir_all(root).unwrap();
    fs::remove_file(image).unwrap();
    unpacked + made
}

/// 20,000 files in 400 directories, most of them small, 182 MB in all.
fn made_up(dir: &Path) -> Vec<PathBuf> {
    let root = dir.join("made-up");
    let block = half_noise(1 << 20, 1);
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
    timed(
        Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&plain)
            .arg("."),
    );
    timed(Command::new("gzip").arg("-k6").arg(&plain));
    fs::remove_dir_all(root).unwrap();
    vec![plain, gzip]
}
