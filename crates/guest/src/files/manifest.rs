//! List of the files that a host once sent, so that a guest can find changes without reading a file.
//!
//! ```text
//! version │ directory │ directory │ …
//!   directory: path │ count │ entry │ entry │ …
//!   entry:     name │ kind │ size │ seconds, as the difference to the entry before │ nanoseconds
//! ```
//! Numbers are LEB128; paths and names have their length before them. Twenty thousand files make about 400 KiB.

use std::collections::BTreeMap;

use crate::limits::{MAX_GUEST_PATH, MAX_NAME};

const VERSION: u8 = 1;

/// Type of a file, as far as git records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File,
    /// A file that its owner may run.
    Executable,
    /// A symbolic link.
    Link,
    /// A repository inside the tree, which is left alone.
    Apart,
}

/// A file as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// Its name in its directory.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: FileKind,
    /// Its size in bytes.
    pub size: u64,
    /// Its modification time as sent to the guest, in seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds of the modification time.
    pub nanos: u32,
}

/// Files by their directory; the top is the empty path. The parents of every directory are present as well, and the
/// files of one directory are in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    directories: BTreeMap<Vec<u8>, Vec<KnownFile>>,
}

/// Reason why bytes are not a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Its version is unknown.
    #[error("list of what was sent: version {0}, which this agent does not know")]
    Version(u8),
    /// It is cut, or has an impossible number or length.
    #[error("list of what was sent: damaged")]
    Damaged,
}

impl Manifest {
    /// Adds a file by its path below the top.
    pub fn add(&mut self, path: &[u8], mut file: KnownFile) {
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let (directory, name) = match cut {
            Some(cut) => (&path[..cut], &path[cut + 1..]),
            None => (&b""[..], path),
        };
        file.name = name.to_vec();
        if !self.directories.contains_key(directory) {
            self.add_directory(directory);
        }
        let files = self.directories.entry(directory.to_vec()).or_default();
        match files.binary_search_by(|known| known.name.cmp(&file.name)) {
            Ok(at) => files[at] = file,
            Err(at) => files.insert(at, file),
        }
    }

    fn add_directory(&mut self, path: &[u8]) {
        self.directories.entry(path.to_vec()).or_default();
        if !path.is_empty() {
            let cut = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            self.add_directory(&path[..cut]);
        }
    }

    /// The files of a directory; `None` if nothing in it was sent.
    #[must_use]
    pub fn directory(&self, path: &[u8]) -> Option<&[KnownFile]> {
        self.directories.get(path).map(Vec::as_slice)
    }

    /// All directories, with their files.
    pub fn directories(&self) -> impl Iterator<Item = (&[u8], &[KnownFile])> {
        let all = self.directories.iter();
        all.map(|(path, files)| (path.as_slice(), files.as_slice()))
    }

    /// Encodes the manifest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let mut before = 0_i64;
        for (path, files) in self.directories() {
            text(&mut out, path);
            number(&mut out, files.len() as u64);
            for file in files {
                text(&mut out, &file.name);
                out.push(match file.kind {
                    FileKind::File => 0,
                    FileKind::Executable => 1,
                    FileKind::Link => 2,
                    FileKind::Apart => 3,
                });
                number(&mut out, file.size);
                let since = file.seconds.wrapping_sub(before);
                before = file.seconds;
                // Small differences in both directions become small numbers.
                number(&mut out, ((since << 1) ^ (since >> 63)).cast_unsigned());
                number(&mut out, u64::from(file.nanos));
            }
        }
        out
    }

    /// Decodes a manifest.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut from = Bytes(bytes);
        match from.byte()? {
            VERSION => {}
            other => return Err(ManifestError::Version(other)),
        }
        let mut manifest = Self::default();
        let mut before = 0_i64;
        while !from.0.is_empty() {
            let path = from.text(MAX_GUEST_PATH)?.to_vec();
            let count = from.number()?;
            let mut files = Vec::new();
            for _ in 0..count {
                let file = from.file(&mut before)?;
                let ordered = files
                    .last()
                    .is_none_or(|last: &KnownFile| last.name < file.name);
                if !ordered {
                    return Err(ManifestError::Damaged);
                }
                files.push(file);
            }
            let known = manifest.directories.insert(path.clone(), files);
            let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            let placed = path.is_empty() || manifest.directories.contains_key(&path[..parent]);
            if known.is_some() || !placed {
                return Err(ManifestError::Damaged);
            }
        }
        Ok(manifest)
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Result<u8, ManifestError> {
        let (first, rest) = self.0.split_first().ok_or(ManifestError::Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, ManifestError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ManifestError::Damaged)
    }

    fn text(&mut self, most: usize) -> Result<&'a [u8], ManifestError> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if len > most || len > self.0.len() {
            return Err(ManifestError::Damaged);
        }
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(text)
    }

    fn file(&mut self, before: &mut i64) -> Result<KnownFile, ManifestError> {
        let name = self.text(MAX_NAME)?.to_vec();
        let kind = match self.byte()? {
            0 => FileKind::File,
            1 => FileKind::Executable,
            2 => FileKind::Link,
            3 => FileKind::Apart,
            _ => return Err(ManifestError::Damaged),
        };
        let size = self.number()?;
        let folded = self.number()?;
        let since = (folded >> 1).cast_signed() ^ -((folded & 1).cast_signed());
        *before = before.wrapping_add(since);
        let nanos = u32::try_from(self.number()?).or(Err(ManifestError::Damaged))?;
        Ok(KnownFile {
            name,
            kind,
            size,
            seconds: *before,
            nanos,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known() -> impl Strategy<Value = KnownFile> {
        let kind = prop_oneof![
            Just(FileKind::File),
            Just(FileKind::Executable),
            Just(FileKind::Link),
            Just(FileKind::Apart)
        ];
        (kind, any::<u64>(), any::<i64>(), any::<u32>()).prop_map(|(kind, size, seconds, nanos)| {
            KnownFile {
                name: Vec::new(),
                kind,
                size,
                seconds,
                nanos,
            }
        })
    }

    proptest! {
        #[test]
        fn any_manifest_survives_the_wire(files in prop::collection::btree_map("([a-c]{1,2}/){0,3}[a-e]{1,2}", known(), 0..40)) {
            let mut manifest = Manifest::default();
            for (path, file) in files {
                manifest.add(path.as_bytes(), file);
            }
            prop_assert_eq!(Manifest::from_bytes(&manifest.to_bytes()).unwrap(), manifest);
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::from_bytes(&bytes);
            let _ = Manifest::from_bytes(&[&[VERSION], &bytes[..]].concat());
        }
    }

    #[test]
    fn a_cut_manifest_is_damaged_and_another_version_is_named() {
        let mut manifest = Manifest::default();
        let file = KnownFile {
            name: Vec::new(),
            kind: FileKind::File,
            size: 300,
            seconds: 1_700_000_000,
            nanos: 5,
        };
        manifest.add(b"a/b", file);
        let bytes = manifest.to_bytes();
        let last = &bytes[..bytes.len() - 1];
        assert_eq!(Manifest::from_bytes(last), Err(ManifestError::Damaged));
        assert_eq!(Manifest::from_bytes(&[9]), Err(ManifestError::Version(9)));
    }
}
