//! The lines before a file's content: `diff --git`, modes, `index`, `---`, `+++`, and the lines that begin a hunk.

use super::quoted::unquote;
use crate::repository::is_oid;
use crate::tracked::{EXECUTABLE, FILE, LINK, RepoPath};

/// The path of a line `diff --git a/PATH b/PATH`; both must be one.
pub(super) fn diff_git(line: &[u8]) -> Option<RepoPath> {
    let rest = line.strip_prefix(b"diff --git ")?;
    let (old, new) = if rest.starts_with(b"\"") {
        let (old, rest) = unquote(rest)?;
        let (new, rest) = unquote(rest.strip_prefix(b" ")?)?;
        if !rest.is_empty() {
            return None;
        }
        (old, new)
    } else {
        // Names may hold spaces: as both are one path, the one in the middle divides them.
        let middle = rest.len() / 2;
        let (old, new) = (rest.get(..middle)?, rest.get(middle + 1..)?);
        if rest.get(middle) != Some(&b' ') || old.len() != new.len() {
            return None;
        }
        (old.to_vec(), new.to_vec())
    };
    let (old, new) = (old.strip_prefix(b"a/")?, new.strip_prefix(b"b/")?);
    (old == new).then(|| old.to_vec())
}

/// Path in a line `--- …` or `+++ …`, which has this prefix; the inner `None` is `/dev/null`.
pub(super) fn side(line: &[u8], mark: &[u8], prefix: &[u8]) -> Option<Option<RepoPath>> {
    let rest = line.strip_prefix(mark)?;
    if rest == b"/dev/null" {
        return Some(None);
    }
    let name = if rest.starts_with(b"\"") {
        let (name, rest) = unquote(rest)?;
        if !matches!(rest, b"" | b"\t") {
            return None;
        }
        name
    } else {
        // git ends a name that has spaces with a tab, also when it is quoted.
        rest.strip_suffix(b"\t").unwrap_or(rest).to_vec()
    };
    Some(Some(name.strip_prefix(prefix)?.to_vec()))
}

/// A mode that a patch may have: files and links, nothing else.
pub(super) fn mode(text: &[u8]) -> Option<u32> {
    let mode = u32::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()?;
    (text.len() == 6 && [FILE, EXECUTABLE, LINK].contains(&mode)).then_some(mode)
}

/// The content of an empty file, in both formats.
const EMPTY: [&str; 2] = [
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
];

/// Content of an index line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Index {
    /// The file was, or becomes, empty.
    pub(super) old_is_empty: bool,
    pub(super) new_is_empty: bool,
    /// Its mode, when that stays.
    pub(super) mode: Option<u32>,
}

/// `index OLD..NEW` with full names, and the mode behind it when it stays.
pub(super) fn index(line: &[u8]) -> Option<Index> {
    let rest = std::str::from_utf8(line.strip_prefix(b"index ")?).ok()?;
    let (objects, rest) = rest
        .split_once(' ')
        .map_or((rest, None), |(objects, mode)| (objects, Some(mode)));
    let (old, new) = objects.split_once("..")?;
    if !is_oid(old) || !is_oid(new) || old.len() != new.len() {
        return None;
    }
    let mode = match rest {
        Some(text) => Some(mode(text.as_bytes())?),
        None => None,
    };
    Some(Index {
        old_is_empty: EMPTY.contains(&old),
        new_is_empty: EMPTY.contains(&new),
        mode,
    })
}

/// A line `@@ -START[,COUNT] +START[,COUNT] @@ …`: start and count of both sides.
pub(super) fn hunk(line: &[u8]) -> Option<[(u64, u64); 2]> {
    let rest = line.strip_prefix(b"@@ -")?;
    let (old, rest) = range(rest)?;
    let (new, rest) = range(rest.strip_prefix(b" +")?)?;
    let rest = rest.strip_prefix(b" @@")?;
    (rest.is_empty() || rest.starts_with(b" ")).then_some([old, new])
}

fn range(text: &[u8]) -> Option<((u64, u64), &[u8])> {
    let (start, rest) = number(text)?;
    match rest.strip_prefix(b",") {
        Some(rest) => number(rest).map(|(count, rest)| ((start, count), rest)),
        None => Some(((start, 1), rest)),
    }
}

pub(super) fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    // Ten digits hold any line count of a bounded patch.
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}
