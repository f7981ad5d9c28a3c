//! Benchmark of both empty disks of a VM against `mkfs.ext4` with the same sizes: medians and allocated bytes.
//!
//! `cargo bench -p banger-disk`. Not a pass or fail: numbers to compare with each other.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // it measures and prints

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use banger_disk::{BlankDisk, Templates, sparse};
use banger_measure::{Samples, in_ms, timed};
use uuid::Uuid;

const GIB: u64 = 1 << 30;
const ROUNDS: usize = 21;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    println!("both disks of a VM (system overlay and work disk), medians of {ROUNDS}");
    for gib in [8, 64] {
        let warm = Templates::new();
        ours(&warm, dir.path(), gib);
        let (mut first, mut next) = (Samples::default(), Samples::default());
        let mut mkfs = Samples::default();
        let (mut ours_bytes, mut mkfs_bytes) = (0, 0);
        // Taking turns: other load of the machine hits all three alike.
        for _ in 0..ROUNDS {
            first.push(ours(&Templates::new(), dir.path(), gib).0);
            let (time, bytes) = ours(&warm, dir.path(), gib);
            next.push(time);
            ours_bytes = bytes;
            let (time, bytes) = mkfs_ext4(dir.path(), gib);
            mkfs.push(time);
            mkfs_bytes = bytes;
        }
        println!("2 x {gib} GiB");
        println!("  first of a process  {:>9.3} ms", in_ms(first.median()));
        println!(
            "  every further one   {:>9.3} ms  {:>6} KiB allocated",
            in_ms(next.median()),
            ours_bytes >> 10
        );
        println!(
            "  mkfs.ext4           {:>9.3} ms  {:>6} KiB allocated",
            in_ms(mkfs.median()),
            mkfs_bytes >> 10
        );
    }
}

fn ours(templates: &Templates, dir: &Path, gib: u64) -> (Duration, u64) {
    let paths = [dir.join("system"), dir.join("work")];
    let start = Instant::now();
    for (path, label) in paths.iter().zip(["banger-system", "banger-work"]) {
        let disk = BlankDisk::new(gib * GIB, label, Uuid::new_v4()).unwrap();
        templates.create(&disk, path).unwrap();
    }
    (start.elapsed(), measured_and_removed(&paths))
}

fn mkfs_ext4(dir: &Path, gib: u64) -> (Duration, u64) {
    let paths = [dir.join("mkfs-system"), dir.join("mkfs-work")];
    let start = Instant::now();
    for path in &paths {
        std::fs::File::create(path)
            .unwrap()
            .set_len(gib * GIB)
            .unwrap();
        timed(Command::new("/sbin/mkfs.ext4").args(["-q", "-F"]).arg(path));
    }
    (start.elapsed(), measured_and_removed(&paths))
}

fn measured_and_removed(paths: &[std::path::PathBuf]) -> u64 {
    let bytes = paths
        .iter()
        .map(|path| sparse::allocated_bytes(path).unwrap())
        .sum();
    for path in paths {
        std::fs::remove_file(path).unwrap();
    }
    bytes
}
