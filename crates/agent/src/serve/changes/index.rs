//! Names in the repository's index (gitformat-index(5)): files that git tracks although its rules ignore them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use banger_guest::files::FilesError;

use super::failed::failed;

/// Bytes of an index: two million files.
const MAX_INDEX: u64 = 256 << 20;
/// Bytes of an entry before its object's name: times, device, inode, mode, owner, group, size.
const STAT: usize = 40;
/// Flag of an entry that has a second pair of flags.
const EXTENDED: u16 = 0x4000;
/// Bits of the flags that hold the length of a name; the largest value stands for itself and more.
const NAME_MASK: u16 = 0x0fff;

/// Names that git tracks.
#[derive(Debug, Default)]
pub(super) struct Tracked(BTreeSet<Vec<u8>>);

impl Tracked {
    /// Tells whether it tracks this, or something in this directory.
    pub(super) fn has(&self, path: &[u8], is_directory: bool) -> bool {
        if !is_directory {
            return self.0.contains(path);
        }
        let inside = [path, b"/"].concat();
        let next = self.0.range(inside.clone()..).next();
        next.is_some_and(|name| name.starts_with(&inside))
    }
}

/// Paths that the index of a tree tracks.
pub(super) fn tracked(root: &Path) -> Result<Tracked, FilesError> {
    let path = root.join(".git/index");
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(MAX_INDEX).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Tracked::default());
        }
        Err(error) => return Err(failed("read", path, error)),
    }
    names_in_index(&bytes)
        .map(Tracked)
        .ok_or(FilesError::Target {
            path,
            why: "has a form that is not read here",
        })
}

/// The names in an index's bytes; `None` for a form that is not read here, or for none at all.
#[must_use]
pub fn names_in_index(bytes: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    // Objects' names have 20 bytes, or 32 in a repository with SHA-256: only one of them fits all entries.
    names(bytes, 20).or_else(|| names(bytes, 32))
}

fn names(bytes: &[u8], oid: usize) -> Option<BTreeSet<Vec<u8>>> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let plain = bytes.starts_with(b"DIRC") && matches!(number(4)?, 2 | 3);
    if !plain {
        return None;
    }
    let mut names = BTreeSet::new();
    let mut at = 12;
    for _ in 0..number(8)? {
        let flags_at = at + STAT + oid;
        let flags = bytes.get(flags_at..flags_at + 2)?;
        let flags = u16::from_be_bytes(flags.try_into().ok()?);
        let name_at = flags_at + if flags & EXTENDED == 0 { 2 } else { 4 };
        let length = match flags & NAME_MASK {
            NAME_MASK => bytes.get(name_at..)?.iter().position(|byte| *byte == 0)?,
            length => usize::from(length),
        };
        let name = bytes.get(name_at..name_at + length)?;
        let end = name_at + length - at;
        // One to eight NULs, so that the next entry begins at a multiple of eight.
        let next = at + end + (8 - end % 8);
        if name.is_empty()
            || bytes
                .get(name_at + length..next)?
                .iter()
                .any(|byte| *byte != 0)
        {
            return None;
        }
        names.insert(name.to_vec());
        at = next;
    }
    // Split over two files, it lists only a part here.
    let extensions = bytes.get(at..)?;
    (!extensions.starts_with(b"link")).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_do_harm() {
        for bytes in [
            &b""[..],
            b"DIRC",
            b"DIRC\0\0\0\x02\xff\xff\xff\xff",
            b"DIRC\0\0\0\x04\0\0\0\0",
            &[b"DIRC\0\0\0\x02\0\0\0\x01".as_slice(), &[0xff; 62]].concat(),
        ] {
            assert!(names(bytes, 20).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn a_directory_is_tracked_when_something_in_it_is() {
        let tracked = Tracked([b"a/b".to_vec(), b"a-c".to_vec()].into());
        assert!(tracked.has(b"a", true) && tracked.has(b"a/b", false));
        assert!(!tracked.has(b"a", false) && !tracked.has(b"a-", true));
    }
}
