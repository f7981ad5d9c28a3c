//! Entries to bytes.

use std::io::{self, Write};

use crate::entry::{Entry, Kind};
use crate::pax;

const BLOCK: usize = 512;
/// Longest name that a header holds.
const NAME: usize = 100;
/// Largest numbers of a header's octal fields of 8 and of 12 bytes.
const MAX_8: u64 = 0o7_777_777;
const MAX_12: u64 = 0o77_777_777_777;

/// Writes entries. The caller writes exactly the content that it announced.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    /// Content of the current entry that was written.
    written: u64,
}

/// Fields of a header.
struct Fields<'a> {
    name: &'a [u8],
    link: &'a [u8],
    kind: u8,
    size: u64,
    device: (u32, u32),
}

impl<W: Write> Writer<W> {
    /// A writer to `to`, which should be buffered.
    pub fn new(to: W) -> Self {
        Self { to, written: 0 }
    }

    /// Writes the header of an entry. The content of a file follows with [`Self::content`], then [`Self::end_content`].
    ///
    /// # Errors
    /// The stream fails.
    pub fn header(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let mut records = Vec::new();
        let mut map = Vec::new();
        let mut fields = Fields {
            name: entry.path,
            link: b"",
            kind: b'0',
            size: 0,
            device: (0, 0),
        };
        match entry.kind {
            Kind::File { size } => fields.size = size,
            Kind::Sparse { size, pieces } => {
                map = sparse(&mut records, entry.path, size, pieces);
                // The name under which a program that knows no holes would unpack it.
                fields.name = b"GNUSparseFile.0/file";
                fields.size = map.len() as u64 + pieces.iter().map(|(_, len)| len).sum::<u64>();
            }
            Kind::Directory => fields.kind = b'5',
            Kind::Symlink(target) => (fields.kind, fields.link) = (b'2', target),
            Kind::HardLink(target) => (fields.kind, fields.link) = (b'1', target),
            Kind::CharDevice(major, minor) => (fields.kind, fields.device) = (b'3', (major, minor)),
            Kind::BlockDevice(major, minor) => {
                (fields.kind, fields.device) = (b'4', (major, minor));
            }
            Kind::Fifo => fields.kind = b'6',
        }
        describe(&mut records, entry, &fields);
        if !records.is_empty() {
            let of_records = Fields {
                name: b"pax",
                link: b"",
                kind: b'x',
                size: records.len() as u64,
                device: (0, 0),
            };
            self.to.write_all(&raw(&of_records, 0o644, (0, 0), 0))?;
            self.content(&records)?;
            self.end_content()?;
        }
        let seconds = u64::try_from(entry.mtime.0).unwrap_or(0);
        let head = raw(&fields, entry.mode, (entry.uid, entry.gid), seconds);
        self.to.write_all(&head)?;
        self.content(&map)
    }

    /// Writes content.
    ///
    /// # Errors
    /// The stream fails.
    pub fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    /// Ends the content of an entry.
    ///
    /// # Errors
    /// The stream fails.
    pub fn end_content(&mut self) -> io::Result<()> {
        let over = (std::mem::take(&mut self.written) % BLOCK as u64) as usize;
        self.to.write_all(&[0; BLOCK][..(BLOCK - over) % BLOCK])
    }

    /// Ends the stream and gives back its underlying writer.
    ///
    /// # Errors
    /// The stream fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// Adds pax records for the values that do not fit the header's fields.
fn describe(records: &mut Vec<u8>, entry: &Entry<'_>, fields: &Fields<'_>) {
    if fields.name.len() > NAME {
        pax::record(records, b"path", fields.name);
    }
    if fields.link.len() > NAME {
        pax::record(records, b"linkpath", fields.link);
    }
    if fields.size > MAX_12 {
        pax::record(records, b"size", fields.size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if u64::from(id) > MAX_8 {
            pax::record(records, key, id.to_string().as_bytes());
        }
    }
    let (seconds, nanos) = entry.mtime;
    if nanos != 0 || !(0..=MAX_12.cast_signed()).contains(&seconds) {
        pax::record(records, b"mtime", pax::time(entry.mtime).as_bytes());
    }
    for (name, value) in entry.xattrs {
        pax::record(records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
}

/// Records and map of a file with holes (GNU tar, sparse format 1.0).
fn sparse(records: &mut Vec<u8>, path: &[u8], size: u64, pieces: &[(u64, u64)]) -> Vec<u8> {
    pax::record(records, b"GNU.sparse.major", b"1");
    pax::record(records, b"GNU.sparse.minor", b"0");
    pax::record(records, b"GNU.sparse.name", path);
    pax::record(records, b"GNU.sparse.realsize", size.to_string().as_bytes());
    let mut map = format!("{}\n", pieces.len()).into_bytes();
    for (offset, len) in pieces {
        map.extend_from_slice(format!("{offset}\n{len}\n").as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

fn raw(fields: &Fields<'_>, mode: u32, owner: (u32, u32), seconds: u64) -> [u8; BLOCK] {
    let mut raw = [0; BLOCK];
    let cut = |text: &'_ [u8]| text.len().min(NAME);
    raw[..cut(fields.name)].copy_from_slice(&fields.name[..cut(fields.name)]);
    raw[157..157 + cut(fields.link)].copy_from_slice(&fields.link[..cut(fields.link)]);
    octal(&mut raw[100..108], u64::from(mode & 0o7777));
    octal(&mut raw[108..116], u64::from(owner.0));
    octal(&mut raw[116..124], u64::from(owner.1));
    octal(&mut raw[124..136], fields.size);
    octal(&mut raw[136..148], seconds);
    raw[156] = fields.kind;
    raw[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut raw[329..337], u64::from(fields.device.0));
    octal(&mut raw[337..345], u64::from(fields.device.1));
    raw[148..156].fill(b' ');
    let sum: u64 = raw.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut raw[148..155], sum);
    raw
}

/// Octal digits and a NUL. A number that does not fit is a record's: the field then holds zeros.
fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let text = format!("{number:0digits$o}");
    let text = if text.len() > digits {
        "0".repeat(digits)
    } else {
        text
    };
    field[..digits].copy_from_slice(text.as_bytes());
    field[digits] = 0;
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn plain<'a>(path: &'a [u8], kind: Kind<'a>) -> Entry<'a> {
        Entry {
            path,
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (1_700_000_000, 0),
            xattrs: &[],
        }
    }

    #[test]
    fn gnu_tar_lists_what_was_written() {
        let long = [&b"d/"[..], &[b'n'; 200]].concat();
        let mut writer = Writer::new(Vec::new());
        writer.header(&plain(b"d", Kind::Directory)).unwrap();
        writer
            .header(&plain(b"d/f", Kind::File { size: 3 }))
            .unwrap();
        writer.content(b"abc").unwrap();
        writer.end_content().unwrap();
        let pieces = [(0, 2), (1 << 20, 3)];
        let kind = Kind::Sparse {
            size: 2 << 20,
            pieces: &pieces,
        };
        writer.header(&plain(b"d/holes", kind)).unwrap();
        writer.content(b"xxyyy").unwrap();
        writer.end_content().unwrap();
        writer
            .header(&plain(&long, Kind::HardLink(b"d/f")))
            .unwrap();
        let owner = Entry {
            uid: u32::MAX - 1,
            mtime: (-5, 250_000_000),
            ..plain(b"d/dev", Kind::CharDevice(1, 3))
        };
        writer.header(&owner).unwrap();
        let bytes = writer.finish().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let listed = Command::new("tar")
            .args(["--numeric-owner", "--utc", "-tvf"])
            .arg(file.path())
            .output()
            .unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let text = String::from_utf8(listed.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            lines[1].ends_with(" d/f") && lines[1].contains(" 3 "),
            "{text}"
        );
        assert!(
            lines[2].contains("2097152") && lines[2].ends_with(" d/holes"),
            "{text}"
        );
        assert!(lines[3].ends_with("link to d/f"), "{text}");
        assert!(
            lines[4].starts_with("crw") && lines[4].contains("4294967294/0"),
            "{text}"
        );
    }
}
