//! A container image's layers as a disk image, beside the usual ways, in one run: medians, each beside its limit.
//!
//! ```text
//! ours              layers ─► tree ─► ext4                          as any user, nothing unpacked
//! tar + mke2fs -d   each layer: tar x ─► mke2fs -d                  as root
//! mkfs.erofs        the tree that tar x left ─► mkfs.erofs          as root
//! ```
//! `cargo bench -p banger-oci --bench layers [-- [--alone] WORD…]`; a word picks the inputs that have it in their name,
//! `--alone` leaves the usual ways out. In turns, `BANGER_BENCH_RUNS` of each (11), of `tar` a quarter; the million entries are
//! made once.
//! Also: the most memory that it took, and whether the bytes are the same in every run, on one processor and on all.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // it measures and prints

mod inputs;
mod usual;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_disk::{ImageOptions, Label, write_tree};
use banger_measure::{Samples, asked_to_measure, runs};
use banger_oci::{Digest, Limits, LocalImage, Platform};
use inputs::Files;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use usual::Usual;

/// Factor by which unpacking plus `mke2fs -d` must take longer, at least.
const FASTER: u32 = 6;
/// In how many rounds once, for it takes many times as long as all the others.
const TAR_EVERY: usize = 4;
/// Contents of large files, and small files, that are taken in a second from plain layers at least.
const BYTES_PER_SECOND: f64 = 300e6;
const FILES_PER_SECOND: f64 = 40_000.0;
/// Most memory for any image, in KiB.
const MOST_MEMORY: u64 = 200 << 10;

/// One measured image, and the limit that it is held against.
struct Input {
    name: &'static str,
    layers: fn(&Path) -> Vec<PathBuf>,
    gzip: bool,
    rounds: usize,
    against: Against,
}

enum Against {
    /// The usual ways, in the same run.
    UsualWays,
    /// So much time.
    Time(&'static str, f64),
    /// Only the limit of memory.
    Memory,
}

fn main() {
    if !asked_to_measure() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Cargo itself adds `--bench`.
    let (flags, words): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("--"));
    let alone = flags.iter().any(|flag| flag == "--alone");
    for mut input in all() {
        if !words.is_empty() && !words.iter().any(|word| input.name.contains(word.as_str())) {
            continue;
        }
        if alone && matches!(input.against, Against::UsualWays) {
            input.against = Against::Memory;
        }
        let work = dir.path().join("work");
        fs::create_dir(&work).unwrap();
        measure(&input, &work);
        fs::remove_dir_all(work).unwrap();
    }
}

fn all() -> [Input; 5] {
    let rounds = runs(11);
    let bytes = |files: Files| files.iter().map(|(_, len)| *len as f64).sum::<f64>();
    [
        Input {
            name: "20,000 files, gzip layers",
            layers: |dir| inputs::layers(&inputs::debian(), dir),
            gzip: true,
            rounds,
            against: Against::UsualWays,
        },
        Input {
            name: "20,000 files, plain layers",
            layers: |dir| inputs::layers(&inputs::debian(), dir),
            gzip: false,
            rounds,
            against: Against::Memory,
        },
        Input {
            name: "8 files of 64 MiB, plain layers",
            layers: |dir| inputs::layers(&inputs::large(), dir),
            gzip: false,
            rounds,
            against: Against::Time("at 300 MB/s", bytes(inputs::large()) / BYTES_PER_SECOND),
        },
        Input {
            name: "40,000 small files, plain layers",
            layers: |dir| inputs::layers(&inputs::small(40_000, 2_000), dir),
            gzip: false,
            rounds,
            against: Against::Time("at 40,000 files/s", 40_000.0 / FILES_PER_SECOND),
        },
        Input {
            name: "1,000,000 entries, plain layer",
            layers: inputs::million,
            gzip: false,
            rounds: 1,
            against: Against::Memory,
        },
    ]
}

fn measure(input: &Input, dir: &Path) {
    let layers = (input.layers)(dir);
    let layout = inputs::layout(&layers, input.gzip, dir);
    let size = |layer: &PathBuf| fs::metadata(layer).unwrap().len();
    let bytes: u64 = layers.iter().map(size).sum();
    println!(
        "{}: {} MB in {} layers",
        input.name,
        bytes / 1_000_000,
        layers.len()
    );
    let beside = matches!(input.against, Against::UsualWays);
    let (mut times, mut mke2fs, mut erofs) = Default::default();
    let mut digests = Vec::new();
    reset_peak();
    let before = status("VmRSS");
    let usual = Usual::new(&layers, dir);
    for round in 0..input.rounds {
        if beside && round % TAR_EVERY == 0 {
            Samples::push(&mut mke2fs, usual.tar_and_mke2fs());
        }
        let (time, digest) = ours(&layout, dir);
        Samples::push(&mut times, time);
        digests.push(digest);
        if let Some(took) = beside.then(|| usual.erofs()).flatten() {
            Samples::push(&mut erofs, took);
        }
    }
    let peak = status("VmHWM");
    digests.push(on_one_processor(|| ours(&layout, dir).1));

    let row = |what: &str, limit| println!("  {}", times.line(what, limit));
    match &input.against {
        Against::UsualWays => {
            println!("  {}", mke2fs.line("tar x + mke2fs -d", None));
            println!("  {}", erofs.line("mkfs.erofs of the unpacked tree", None));
            row(
                "layers to ext4, a sixth of tar",
                Some(mke2fs.median() / FASTER),
            );
            if !erofs.is_empty() {
                row("layers to ext4, before mkfs.erofs", Some(erofs.median()));
            }
        }
        Against::Time(what, seconds) => row(
            &format!("layers to ext4, {what}"),
            Some(Duration::from_secs_f64(*seconds)),
        ),
        Against::Memory => row("layers to ext4", None),
    }
    println!("  {}", memory(peak, before));
    let same = digests.windows(2).all(|pair| pair[0] == pair[1]);
    println!(
        "  bytes of {} runs, one of them on one processor: {}",
        digests.len(),
        if same { "the same: ok" } else { "OTHERS" }
    );
}

/// The line that says how much memory it took, in KiB.
fn memory(peak: u64, before: u64) -> String {
    let verdict = match peak <= MOST_MEMORY {
        true => "ok",
        false => "OVER",
    };
    format!(
        "{:<36} {:>8} MiB  {} MiB before  at most {} MiB: {verdict}",
        "most memory",
        peak >> 10,
        before >> 10,
        MOST_MEMORY >> 10
    )
}

fn ours(layout: &Path, dir: &Path) -> (Duration, Digest) {
    let image = dir.join("ours.ext4");
    let start = Instant::now();
    let local = LocalImage::open(layout, None, &Platform::host(), dir).unwrap();
    let tree = local
        .tree(dir, Limits::default(), &mut |_| ControlFlow::Continue(()))
        .unwrap()
        .tree;
    let options = ImageOptions::base(Label::new("bench").unwrap());
    let written = write_tree(&tree, &image, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let time = start.elapsed();
    fs::remove_file(image).unwrap();
    (time, Digest::of_hash(written.digest.unwrap()))
}

fn on_one_processor<T>(work: impl FnOnce() -> T) -> T {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
    let answer = work();
    sched_setaffinity(None, &all).unwrap();
    answer
}

/// A value of proc_pid_status(5) in KiB.
fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Forgets the most memory that there was (proc_pid_clear_refs(5)).
fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}
