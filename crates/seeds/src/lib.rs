//! The stored inputs of the fuzz targets (`fuzz/seeds`), and damaged copies of them.
//!
//! ```text
//! fuzz/targets/NAME.rs ──► make fuzz: libFuzzer, for as long as is wanted
//!        └───────────────► make test: this crate, each stored input as it is, then damaged, for a moment
//! fuzz/seeds/NAME/* ─────► both
//! ```
//!
//! Promises: the targets' own code runs, not a copy of it; every stored input is tried whole; the damages are always
//! the same ones in the same order, so that a failure repeats.
//!
//! Must not: search by itself. What is found by searching is stored as an input.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Length of a tar archive's block, bytes, and where its header says that it is one.
const TAR_BLOCK: usize = 512;
const TAR_MAGIC: std::ops::Range<usize> = 257..262;
const TAR_CHECKSUM: std::ops::Range<usize> = 148..156;

/// Folder of the fuzz targets and their inputs.
#[must_use]
pub fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The stored inputs of a target, in the order of their names.
///
/// # Errors
/// They cannot be read.
pub fn stored(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let folder = fuzz_folder().join("seeds").join(target);
    let mut paths = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.into_iter().map(fs::read).collect()
}

/// Tries each input as it is, and then damages of all of them for the time that is given.
pub fn replay(inputs: &[Vec<u8>], within: Duration, target: impl Fn(&[u8])) {
    let began = Instant::now();
    inputs.iter().for_each(|input| target(input));
    let mut damages =
        (1_u64..).flat_map(|round| inputs.iter().map(move |input| damaged(input, round)));
    while began.elapsed() < within {
        match damages.next() {
            Some(input) => target(&input),
            None => return,
        }
    }
}

/// One to four times: a byte is changed, a piece is said twice, or the end is cut off. Headers of tar archives get their
/// checksums put right, or nothing behind them would ever be read.
fn damaged(input: &[u8], round: u64) -> Vec<u8> {
    let mut state = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ input.len() as u64;
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % end.max(1) as u64).unwrap_or_default()
    };
    let mut bytes = input.to_vec();
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        match (below(7), bytes.get_mut(at)) {
            (0, _) => bytes.truncate(at),
            (1, _) => {
                let end = (at + below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            (2 | 3, Some(byte)) => *byte ^= 1 << below(8),
            (_, Some(byte)) => *byte = b"\0\"{}[]:,$/.-~*\\#\n=\xff09"[below(21)],
            (_, None) => {}
        }
    }
    for block in bytes.chunks_exact_mut(TAR_BLOCK) {
        if block[TAR_MAGIC] == *b"ustar" {
            block[TAR_CHECKSUM].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[TAR_CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn inputs_are_tried_whole_and_then_damaged_in_the_same_ways_each_time() {
        let inputs = [b"first".to_vec(), b"second".to_vec()];
        let tried = || {
            let tried = RefCell::new(Vec::new());
            replay(&inputs, Duration::from_millis(20), |input| {
                tried.borrow_mut().push(input.to_vec());
            });
            tried.into_inner()
        };
        let (one, other) = (tried(), tried());
        assert_eq!(&one[..2], &inputs);
        let both = one.len().min(other.len());
        assert!(both > 10, "{both}");
        assert_eq!(one[..both], other[..both]);
        assert!(one[2..both].iter().any(|input| !inputs.contains(input)));
    }
}
