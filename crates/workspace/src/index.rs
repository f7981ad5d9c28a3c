//! The guest's index (gitformat-index(5)), written so that its git finds every file as it was sent and reads none.
//!
//! Size and modification time of a file are known before the guest exists. With `core.trustctime=false` and
//! `core.checkStat=minimal` in the guest's configuration, git compares nothing else.

use std::collections::HashMap;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::repository::ObjectFormat;
use crate::tracked::{Flags, GITLINK, RepoPath, Tracked};

/// Flag of an entry that has a second pair of flags.
const EXTENDED: u16 = 0x4000;
/// In the second pair: kept out of the work tree; to be added, without content yet.
const SKIP_WORKTREE: u16 = 0x4000;
const INTENT_TO_ADD: u16 = 0x2000;
/// Its file is not looked at.
const ASSUME_VALID: u16 = 0x8000;
/// Bits of the flags that hold the length of a name; the largest value stands for itself and more.
const NAME_MASK: u16 = 0x0fff;

/// Metadata of a sent file, as the guest's git will see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentStat {
    /// Modification time, seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds of it.
    pub nanos: u32,
    /// Size in bytes.
    pub size: u64,
}

/// The bytes of an index. Entries without a stat are looked into by the first git that asks.
pub(crate) fn write(
    format: ObjectFormat,
    tracked: &[Tracked],
    stats: &HashMap<RepoPath, SentStat>,
) -> Vec<u8> {
    let version: u32 = match tracked.iter().any(|entry| more_flags(entry.flags) != 0) {
        true => 3,
        false => 2,
    };
    let mut out = Vec::with_capacity(64 + tracked.len() * 120);
    out.extend(*b"DIRC");
    out.extend(version.to_be_bytes());
    out.extend(
        u32::try_from(tracked.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    for entry in tracked {
        let stat = stats
            .get(&entry.path)
            .filter(|_| entry.mode != GITLINK && entry.stage == 0);
        one(&mut out, entry, stat);
    }
    match format {
        ObjectFormat::Sha1 => out.extend(Sha1::digest(&out)),
        ObjectFormat::Sha256 => out.extend(Sha256::digest(&out)),
    }
    out
}

/// git keeps the low 32 bits of all of these.
fn low(value: u64) -> [u8; 4] {
    let [.., a, b, c, d] = value.to_be_bytes();
    [a, b, c, d]
}

/// The second pair of flags.
fn more_flags(flags: Flags) -> u16 {
    let skip = if flags.skip_worktree {
        SKIP_WORKTREE
    } else {
        0
    };
    let intent = if flags.intent_to_add {
        INTENT_TO_ADD
    } else {
        0
    };
    skip | intent
}

fn one(out: &mut Vec<u8>, entry: &Tracked, stat: Option<&SentStat>) {
    let start = out.len();
    let (seconds, nanos, size) = stat.map_or((0, 0, 0), |stat| {
        (stat.seconds.cast_unsigned(), stat.nanos, stat.size)
    });
    out.extend([0; 8]);
    out.extend(low(seconds));
    out.extend(nanos.to_be_bytes());
    out.extend([0; 8]);
    out.extend(entry.mode.to_be_bytes());
    out.extend([0; 8]);
    out.extend(low(size));
    out.extend(oid_bytes(&entry.oid));
    let length = u16::try_from(entry.path.len()).map_or(NAME_MASK, |len| len.min(NAME_MASK));
    let more = more_flags(entry.flags);
    let extended = if more == 0 { 0 } else { EXTENDED };
    let assumed = if entry.flags.assume_unchanged {
        ASSUME_VALID
    } else {
        0
    };
    let flags = length | extended | assumed | (u16::from(entry.stage & 3) << 12);
    out.extend(flags.to_be_bytes());
    if more != 0 {
        out.extend(more.to_be_bytes());
    }
    out.extend(&entry.path);
    // One to eight NULs, so that the next entry begins at a multiple of eight.
    let padding = 8 - (out.len() - start) % 8;
    out.extend(std::iter::repeat_n(0, padding));
}

fn oid_bytes(oid: &str) -> impl Iterator<Item = u8> + '_ {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = oid.as_bytes().chunks_exact(2);
    pairs.map(move |pair| (digit(pair[0]).unwrap_or(0) << 4) | digit(pair[1]).unwrap_or(0))
}
