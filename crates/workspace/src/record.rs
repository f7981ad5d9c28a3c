//! Record of a workspace sent to a guest, kept on the host: the guest's own statement is never believed.
//!
//! One line of JSON, which holds the length of each pack; the packs; then one line for each file, ended by NUL because
//! names may hold anything else: `mode size mtime.nanos ctime.nanos inode sha256 path`.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::compose::Known;
use crate::repository::Oid;
use crate::tracked::RepoPath;

/// Version of the format: 2 has packs, 1 had none. A record of a later version counts as absent.
const VERSION: u32 = 2;
/// Largest record, in bytes: a million files.
pub const MAX_RECORD: usize = 256 << 20;

/// Record of a workspace that was sent to a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// All but the files.
    pub head: Head,
    /// The files, by their path below the workspace.
    pub files: BTreeMap<RepoPath, Sent>,
    /// Sent objects that are in no commit, a pack for each repository that has some; named as in [`Head::parts`].
    pub packs: BTreeMap<String, Vec<u8>>,
}

/// All of a record but the files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// Version of the format.
    pub version: u32,
    /// The repository's top directory on the host.
    pub source: String,
    /// The workspace in the guest.
    pub guest_path: String,
    /// The commit that was checked out; none: there was none.
    pub commit: Option<Oid>,
    /// The commit that was checked out on the host then, which `--from` may make another one.
    pub host_head: Option<Oid>,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// True when everything arrived.
    pub complete: bool,
    /// Variables for commands that run there.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The user that they run as; none: root.
    #[serde(default)]
    pub user: Option<String>,
    /// Steps that were done in the guest beside sending files.
    #[serde(default)]
    pub set_up: SetUp,
    /// Repositories by their path below the workspace, written as in the protocol; the outermost is "".
    pub parts: BTreeMap<String, PartRecord>,
}

/// Steps that a repository's own files ask for: each is done once in a guest, and recorded when it is done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SetUp {
    /// The user that the files were given to; none: root.
    pub owner: Option<String>,
    /// SHA-256 of the commands that ran to their end, in hexadecimal digits.
    pub commands: Option<String>,
    /// SHA-256 of the files whose tools were installed.
    pub tools: Option<String>,
}

/// One repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartRecord {
    /// The guest's state of it.
    pub known: Known,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// SHA-256 of its index's list.
    pub index: String,
    /// Bytes of its pack in the record.
    #[serde(default)]
    pub pack_bytes: usize,
}

/// A file that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sent {
    /// As git writes it: 100644, 100755 or 120000, octal.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Modification time, as the guest was told: seconds since 1970, nanoseconds.
    pub modified: (i64, u32),
    /// Time of the last status change on the host (ctime): seconds since 1970, nanoseconds. Zero: only the content
    /// tells whether it changed since.
    pub changed: (i64, u32),
    /// Its inode on the host.
    pub inode: u64,
    /// SHA-256 of its content or of the link's target, in hexadecimal digits.
    pub sha256: String,
}

/// Refusal of bytes that are no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its first line is not ours.
    #[error("workspace record")]
    Head(#[source] serde_json::Error),
    /// It is of another version.
    #[error("workspace record of version {0}, which this banger does not know")]
    Version(u32),
    /// A file's line is damaged.
    #[error("workspace record: file {0} is damaged")]
    File(usize),
    /// It ends in the middle of a pack.
    #[error("workspace record: a pack is damaged")]
    Pack,
}

impl Record {
    /// The bytes.
    ///
    /// # Errors
    /// Never in practice: the head is strings and numbers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let mut head = Head {
            version: VERSION,
            ..self.head.clone()
        };
        for (name, part) in &mut head.parts {
            part.pack_bytes = self.packs.get(name).map_or(0, Vec::len);
        }
        let mut out = serde_json::to_vec(&head).map_err(RecordError::Head)?;
        out.push(b'\n');
        for pack in head.parts.keys().filter_map(|name| self.packs.get(name)) {
            out.extend_from_slice(pack);
        }
        for (path, sent) in &self.files {
            let (m, c) = (sent.modified, sent.changed);
            // Writing to memory does not fail.
            let _ = write!(
                out,
                "{:o} {} {}.{} {}.{} {} {} ",
                sent.mode, sent.size, m.0, m.1, c.0, c.1, sent.inode, sent.sha256
            );
            out.extend_from_slice(path);
            out.push(0);
        }
        Ok(out)
    }

    /// From its bytes.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(bytes.len());
        let head = Head::from_bytes(&bytes[..end])?;
        let mut rest = bytes.get(end + 1..).unwrap_or_default();
        let mut packs = BTreeMap::new();
        for (name, part) in &head.parts {
            let cut = rest.split_at_checked(part.pack_bytes);
            let (pack, behind) = cut.ok_or(RecordError::Pack)?;
            if !pack.is_empty() {
                packs.insert(name.clone(), pack.to_vec());
            }
            rest = behind;
        }
        let mut files = BTreeMap::new();
        let lines = rest.split(|byte| *byte == 0);
        for (n, line) in lines.enumerate() {
            if line.is_empty() {
                continue;
            }
            let (path, sent) = parse(line).ok_or(RecordError::File(n))?;
            files.insert(path, sent);
        }
        Ok(Self { head, files, packs })
    }
}

impl Head {
    /// From the first line of a record.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let head: Self = serde_json::from_slice(bytes).map_err(RecordError::Head)?;
        if head.version == 0 || head.version > VERSION {
            return Err(RecordError::Version(head.version));
        }
        Ok(head)
    }
}

fn parse(line: &[u8]) -> Option<(RepoPath, Sent)> {
    let mut words = line.splitn(7, |byte| *byte == b' ');
    let mut word = || words.next();
    let number = |word: Option<&[u8]>| std::str::from_utf8(word?).ok()?.parse::<u64>().ok();
    let time = |word: Option<&[u8]>| {
        let (seconds, nanos) = std::str::from_utf8(word?).ok()?.split_once('.')?;
        Some((seconds.parse().ok()?, nanos.parse().ok()?))
    };
    let mode = u32::from_str_radix(std::str::from_utf8(word()?).ok()?, 8).ok()?;
    let sent = Sent {
        mode,
        size: number(word())?,
        modified: time(word())?,
        changed: time(word())?,
        inode: number(word())?,
        sha256: String::from_utf8(word()?.to_vec()).ok()?,
    };
    Some((word()?.to_vec(), sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let sent = Sent {
            mode: 0o100_755,
            size: 3,
            modified: (-5, 7),
            changed: (1_700_000_000, 999_999_999),
            inode: 42,
            sha256: "ab".repeat(32),
        };
        Record {
            head: Head {
                version: VERSION,
                source: "/home/me/a b".to_owned(),
                guest_path: "/root/a b".to_owned(),
                parts: [(
                    String::new(),
                    PartRecord {
                        pack_bytes: 6,
                        ..PartRecord::default()
                    },
                )]
                .into(),
                ..Head::default()
            },
            packs: [(String::new(), b"PACK\0\n".to_vec())].into(),
            files: [
                (b"plain".to_vec(), sent.clone()),
                (b"odd \n name \xff".to_vec(), sent),
            ]
            .into(),
        }
    }

    #[test]
    fn a_record_survives_being_written_whatever_its_names_hold() {
        let record = record();
        let bytes = record.to_bytes().unwrap();
        assert_eq!(Record::from_bytes(&bytes).unwrap(), record);
    }

    #[test]
    fn the_first_line_alone_is_the_head() {
        let record = record();
        let bytes = record.to_bytes().unwrap();
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
        assert_eq!(Head::from_bytes(line).unwrap(), record.head);
    }

    #[test]
    fn a_head_that_was_written_before_anything_was_set_up_is_still_read() {
        let bytes = record().to_bytes().unwrap();
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
        let mut old: serde_json::Value = serde_json::from_slice(line).unwrap();
        let fields = old.as_object_mut().unwrap();
        for name in ["set_up", "env", "user"] {
            assert!(fields.remove(name).is_some());
        }
        let head = Head::from_bytes(old.to_string().as_bytes()).unwrap();
        assert_eq!(head, record().head);
    }

    #[test]
    fn damage_and_other_versions_are_told_apart() {
        assert!(matches!(Record::from_bytes(b""), Err(RecordError::Head(_))));
        let mut other = record();
        other.files.clear();
        other.packs.clear();
        let text = String::from_utf8(other.to_bytes().unwrap()).unwrap();
        let later = text.replace("\"version\":2", "\"version\":3");
        assert!(matches!(
            Record::from_bytes(later.as_bytes()),
            Err(RecordError::Version(3))
        ));
        let cut = [text.as_bytes(), b"100644 3 1.2"].concat();
        assert!(matches!(
            Record::from_bytes(&cut),
            Err(RecordError::File(0))
        ));
    }
}
