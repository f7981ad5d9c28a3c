//! One entry of an archive, with the properties that pax records give it.

use banger_disk::tree::Timestamp;

use super::pax::{self, Record};
use super::sparse::Piece;

/// Kind of an entry, with its content's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file of `size` bytes; its data are the pieces (offset in the file, offset in the archive, length).
    File {
        /// Size in bytes, holes included.
        size: u64,
        /// Places of its data.
        pieces: Vec<(u64, u64, u64)>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A further name of an entry before.
    HardLink(Vec<u8>),
    /// A character device: major, minor.
    CharDevice(u64, u64),
    /// A block device: major, minor.
    BlockDevice(u64, u64),
    /// A named pipe.
    Fifo,
}

/// One entry, as the archive says it: nothing is checked against other entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as written.
    pub path: Vec<u8>,
    /// Its kind.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Last modification.
    pub mtime: Timestamp,
    /// Extended attributes: name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// `SCHILY.acl.access` and `SCHILY.acl.default`: lists in text.
    pub acls: [Option<Vec<u8>>; 2],
}

/// Applies a record to the entry that follows it. `None` when its value is broken.
pub(super) fn apply(
    record: &Record,
    entry: &mut Entry,
    link: &mut Vec<u8>,
    size: &mut u64,
) -> Option<()> {
    let value = &record.value[..];
    // An empty value takes back that of a global record; for names the header's own then counts.
    match &record.key[..] {
        b"path" if !value.is_empty() => entry.path = value.to_vec(),
        b"linkpath" if !value.is_empty() => *link = value.to_vec(),
        b"size" => *size = pax::decimal(value)?,
        b"uid" => entry.uid = pax::decimal(value)?,
        b"gid" => entry.gid = pax::decimal(value)?,
        b"mtime" => {
            let (seconds, nanoseconds) = pax::time(value)?;
            entry.mtime = Timestamp {
                seconds,
                nanoseconds,
            };
        }
        b"SCHILY.acl.access" => entry.acls[0] = Some(value.to_vec()),
        b"SCHILY.acl.default" => entry.acls[1] = Some(value.to_vec()),
        key => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                entry.xattrs.push((name.to_vec(), value.to_vec()));
            } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                let name = pax::percent(name)?;
                // bsdtar writes both forms; the other one is exact.
                if !entry.xattrs.iter().any(|(known, _)| *known == name) {
                    entry.xattrs.push((name, pax::base64(value)?));
                }
            }
        }
    }
    Some(())
}

/// Gives each piece of `map` its place in the archive, one behind the other from `data` to at most `end`.
pub(super) fn pieces(map: &[Piece], mut data: u64, end: u64) -> Option<Vec<(u64, u64, u64)>> {
    let mut pieces = Vec::with_capacity(map.len());
    for &(at, len) in map {
        if len > 0 {
            pieces.push((at, data, len));
        }
        data = data.checked_add(len).filter(|&data| data <= end)?;
    }
    Some(pieces)
}
