//! A container image's layers as a disk image, beside the usual ways, in one run: medians.
//!
//! ```text
//! ours              layers ─► tree ─► ext4                          as any user, nothing unpacked
//! tar + mke2fs -d   each layer: tar x ─► mke2fs -d                  as root
//! tar + mkfs.erofs  each layer: tar x ─► mkfs.erofs                 as root; also without the unpacking
//! ```
//! `cargo bench -p banger-oci --bench layers [-- [--alone] WORD…]`; a word picks the inputs that have it in their name,
//! `--alone` leaves the usual ways out. Also: large files, 40,000 small files, the most memory that it took, and
//! whether the bytes are the same in every run, on one processor and on all. Numbers to compare, not a pass or fail.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // it measures and prints

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use banger_disk::{ImageOptions, Label, write_tree};
use banger_measure::{Samples, half_noise, timed};
use banger_oci::{Digest, Limits, LocalImage, Platform};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const ROUNDS: usize = 7;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // Cargo itself adds `--bench`.
    let (flags, words): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("--"));
    let alone = flags.iter().any(|flag| flag == "--alone");
    let small = |count, len: usize| {
        let make = move |n: usize| {
            (
                format!("d{}/{}/file-{n}", n % 40, n / 40 % 40),
                len / 2 + n * 7919 % len,
            )
        };
        (0..count).map(make).collect::<Vec<_>>()
    };
    // 182 MB of tar, as the layers of a Debian image with 20,000 files have it: most are small, some are programs.
    let mut debian = small(20_000, 4_600);
    for (n, file) in debian.iter_mut().enumerate().filter(|(n, _)| n % 100 == 0) {
        *file = (format!("usr/lib/{}/lib-{n}", n % 7), 365_000);
    }
    let large: Vec<_> = (0..8).map(|n| (format!("large-{n}"), 64 << 20)).collect();
    for (name, files, gzip) in [
        ("20,000 files, gzip layers", &debian, true),
        ("20,000 files, plain layers", &debian, false),
        ("8 files of 64 MiB, plain layers", &large, false),
        (
            "40,000 small files, plain layers",
            &small(40_000, 2_000),
            false,
        ),
    ] {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let work = dir.join("work");
        fs::create_dir(&work).unwrap();
        measure(name, files, (gzip, alone), &work);
        fs::remove_dir_all(work).unwrap();
    }
}

fn measure(name: &str, files: &[(String, usize)], (gzip, alone): (bool, bool), dir: &Path) {
    let layers = layers(files, dir);
    let layout = layout(&layers, gzip, dir);
    let bytes: u64 = layers
        .iter()
        .map(|layer| fs::metadata(layer).unwrap().len())
        .sum();
    println!(
        "{name}: {} MB in {} layers, medians of {ROUNDS}",
        bytes / 1_000_000,
        layers.len()
    );
    let (mut times, mut mke2fs) = (Samples::default(), Samples::default());
    let (mut erofs, mut erofs_alone) = (Samples::default(), Samples::default());
    let mut digests = Vec::new();
    reset_peak();
    let before = status("VmRSS");
    for _ in 0..ROUNDS {
        let (time, digest) = ours(&layout, dir);
        times.push(time);
        digests.push(digest);
    }
    let peak = status("VmHWM");
    for _ in 0..if alone { 0 } else { ROUNDS } {
        let unpacking = unpack(&layers, dir);
        mke2fs.push(
            unpacking
                + timed(
                    Command::new("/sbin/mke2fs")
                        .args(["-q", "-F", "-t", "ext4", "-d"])
                        .arg(dir.join("tree"))
                        .arg(dir.join("theirs"))
                        .arg("2G"),
                ),
        );
        fs::remove_file(dir.join("theirs")).unwrap();
        if let Some(time) = mkfs_erofs(dir) {
            erofs.push(unpacking + time);
            erofs_alone.push(time);
        }
        fs::remove_dir_all(dir.join("tree")).unwrap();
    }
    digests.push(on_one_processor(|| ours(&layout, dir).1));
    let ours = times.median().as_secs_f64();
    println!(
        "  layers to ext4        {:>8.0} ms  {:.0} MB/s, {:.0} files/s",
        ours * 1e3,
        bytes as f64 / 1e6 / ours,
        files.len() as f64 / ours
    );
    for (name, times) in [
        ("tar x + mke2fs -d", mke2fs),
        ("tar x + mkfs.erofs", erofs),
        ("mkfs.erofs alone", erofs_alone),
    ] {
        if !times.is_empty() {
            let theirs = times.median().as_secs_f64();
            println!(
                "  {name:<19} {:>10.0} ms  {:.1} times as long",
                theirs * 1e3,
                theirs / ours
            );
        }
    }
    let same = digests.windows(2).all(|pair| pair[0] == pair[1]);
    println!(
        "  most memory {} MiB ({} before); {} runs, one of them on one processor: {}",
        peak >> 10,
        before >> 10,
        digests.len(),
        if same {
            "the same bytes"
        } else {
            "OTHER BYTES"
        }
    );
}

fn ours(layout: &Path, dir: &Path) -> (Duration, Digest) {
    let image = dir.join("ours.ext4");
    let start = Instant::now();
    let local = LocalImage::open(layout, None, &Platform::host(), dir).unwrap();
    let tree = local
        .tree(dir, Limits::default(), &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let options = ImageOptions::base(Label::new("bench").unwrap());
    let written = write_tree(&tree, &image, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let time = start.elapsed();
    fs::remove_file(image).unwrap();
    (time, Digest::of_hash(written.digest.unwrap()))
}

fn unpack(layers: &[PathBuf], dir: &Path) -> Duration {
    let tree = dir.join("tree");
    fs::create_dir(&tree).unwrap();
    let stored: Vec<PathBuf> = layers
        .iter()
        .map(|layer| {
            let packed = layer.with_extension("tar.gz");
            if packed.exists() {
                packed
            } else {
                layer.clone()
            }
        })
        .collect();
    stored
        .iter()
        .map(|layer| {
            timed(
                Command::new("tar")
                    .arg("-C")
                    .arg(&tree)
                    .args(["--xattrs", "-xpf"])
                    .arg(layer),
            )
        })
        .sum()
}

fn mkfs_erofs(dir: &Path) -> Option<Duration> {
    let program = ["/usr/bin/mkfs.erofs", "/usr/sbin/mkfs.erofs"]
        .into_iter()
        .find(|path| Path::new(path).exists())?;
    let time = timed(
        Command::new(program)
            .arg("-d0")
            .arg(dir.join("erofs"))
            .arg(dir.join("tree")),
    );
    fs::remove_file(dir.join("erofs")).unwrap();
    Some(time)
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

/// The files in three layers, which compress about as programs do.
fn layers(files: &[(String, usize)], dir: &Path) -> Vec<PathBuf> {
    let block = half_noise(65 << 20, 1);
    files
        .chunks(files.len().div_ceil(3))
        .enumerate()
        .map(|(index, part)| {
            let root = dir.join("root");
            for (number, (name, len)) in part.iter().enumerate() {
                let path = root.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let start = number * 31 % (block.len() - len);
                fs::write(path, &block[start..start + len]).unwrap();
            }
            let layer = dir.join(format!("layer-{index}.tar"));
            timed(
                Command::new("tar")
                    .arg("-C")
                    .arg(&root)
                    .arg("-cf")
                    .arg(&layer)
                    .arg("."),
            );
            fs::remove_dir_all(root).unwrap();
            layer
        })
        .collect()
}

fn layout(layers: &[PathBuf], gzip: bool, dir: &Path) -> PathBuf {
    let root = dir.join("layout");
    fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(root.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        format!(r#"{{"digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let (mut ids, mut stored) = (Vec::new(), Vec::new());
    for layer in layers {
        let plain = fs::read(layer).unwrap();
        ids.push(format!("\"{}\"", Digest::of(&plain)));
        if gzip {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&plain).unwrap();
            let packed = encoder.finish().unwrap();
            fs::write(layer.with_extension("tar.gz"), &packed).unwrap();
            stored.push(blob(&packed));
        } else {
            stored.push(blob(&plain));
        }
    }
    let platform = Platform::host();
    let config = blob(
        format!(
            r#"{{"architecture":"{}","os":"linux","rootfs":{{"diff_ids":[{}]}}}}"#,
            platform.architecture,
            ids.join(",")
        )
        .as_bytes(),
    );
    let manifest =
        blob(format!(r#"{{"config":{config},"layers":[{}]}}"#, stored.join(",")).as_bytes());
    fs::write(
        root.join("index.json"),
        format!(r#"{{"manifests":[{manifest}]}}"#),
    )
    .unwrap();
    root
}
