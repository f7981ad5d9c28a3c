//! Names of formats that users mistake for root file systems: disks with partitions, images of other tools, other file
//! systems. A few reads at fixed places; the bytes are treated as hostile: nothing is mounted or converted, and only a
//! table of partitions is followed.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a sector, the unit in tables of partitions.
const SECTOR: u64 = 512;
/// Partitions that are read: a GPT has room for so many.
const MAX_PARTITIONS: usize = 128;
/// Bytes of one entry of a GPT (UEFI specification, 5.3.3). Larger entries are allowed, and not recognised here.
const GPT_ENTRY: usize = 128;

/// Format of a file that is not supported as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// A disk image of another hypervisor: its format, by the name that qemu-img uses.
    Disk(&'static str),
    /// A disk with partitions.
    Partitioned(Vec<Partition>),
    /// Name of an unsupported file system.
    FileSystem(&'static str),
    /// Name of an unsupported archive format.
    Archive(&'static str),
}

/// One partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: usize,
    /// Offset in the disk, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub len: u64,
    /// True when it holds an ext2, ext3 or ext4 file system.
    pub is_ext4: bool,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(format) => write!(f, "a {format} disk image"),
            Self::Partitioned(_) => f.write_str("a disk with partitions"),
            Self::FileSystem(name) => write!(f, "a {name} file system"),
            Self::Archive(name) => write!(f, "a {name} archive"),
        }
    }
}

/// Magic numbers: offset, bytes, format.
const KNOWN: &[(u64, &[u8], Foreign)] = &[
    (0, b"QFI\xFB", Foreign::Disk("qcow2")),
    (0, b"KDMV", Foreign::Disk("vmdk")),
    (0, b"# Disk DescriptorFile", Foreign::Disk("vmdk")),
    (0, b"vhdxfile", Foreign::Disk("vhdx")),
    (0, b"conectix", Foreign::Disk("vpc")),
    (0x40, b"\x7F\x10\xDA\xBE", Foreign::Disk("vdi")),
    (0, b"hsqs", Foreign::FileSystem("squashfs")),
    (0, b"XFSB", Foreign::FileSystem("XFS")),
    (0x1_0040, b"_BHRfS_M", Foreign::FileSystem("Btrfs")),
    (1024, b"\xE2\xE1\xF5\xE0", Foreign::FileSystem("EROFS")),
    (1024, b"\x10\x20\xF5\xF2", Foreign::FileSystem("F2FS")),
    (0x8001, b"CD001", Foreign::FileSystem("ISO 9660")),
    (0, b"PK\x03\x04", Foreign::Archive("zip")),
    (0, b"070701", Foreign::Archive("cpio")),
    (0, b"070702", Foreign::Archive("cpio")),
    (0, b"7z\xBC\xAF\x27\x1C", Foreign::Archive("7z")),
    (
        0,
        b"!<arch>\ndebian-binary",
        Foreign::Archive("Debian package"),
    ),
];

/// Recognises the format of `file`, if it is a known one that cannot be a root file system here.
///
/// # Errors
/// The system's answer to reading it.
pub fn recognise(file: &File) -> io::Result<Option<Foreign>> {
    for (at, magic, foreign) in KNOWN {
        let mut found = [0; 32];
        let found = &mut found[..magic.len()];
        if read(file, found, *at)? && found == *magic {
            return Ok(Some(foreign.clone()));
        }
    }
    let mut boot = [0; SECTOR as usize];
    if !read(file, &mut boot, 0)? || boot[510..] != [0x55, 0xAA] {
        return Ok(None);
    }
    let size = file.metadata()?.len();
    let entries = match gpt(file)? {
        Some(entries) => entries,
        None => mbr(&boot),
    };
    let mut partitions = Vec::new();
    for (number, start, len) in entries {
        if len > 0 && start.checked_add(len).is_some_and(|end| end <= size) {
            partitions.push(Partition {
                number,
                start,
                len,
                is_ext4: is_ext4(file, start)?,
            });
        }
    }
    // Boot code of a single file system ends in the same mark.
    Ok((!partitions.is_empty()).then_some(Foreign::Partitioned(partitions)))
}

/// Number, start and length in bytes.
type Place = (usize, u64, u64);

/// The four partitions of an old table.
fn mbr(boot: &[u8; SECTOR as usize]) -> Vec<Place> {
    let entry = |(number, entry): (usize, &[u8])| {
        let word = |at: usize| {
            u64::from(u32::from_le_bytes([
                entry[at],
                entry[at + 1],
                entry[at + 2],
                entry[at + 3],
            ]))
        };
        // Boot flags are 0 or 0x80: other values are code, not a table.
        let is_entry = entry[4] != 0 && matches!(entry[0], 0 | 0x80);
        is_entry.then(|| (number + 1, word(8) * SECTOR, word(12) * SECTOR))
    };
    let entries = boot[446..510].chunks_exact(16).enumerate();
    entries.filter_map(entry).collect()
}

/// The partitions of a GUID partition table; `None` when there is none.
fn gpt(file: &File) -> io::Result<Option<Vec<Place>>> {
    let mut header = [0; 92];
    if !read(file, &mut header, SECTOR)? || !header.starts_with(b"EFI PART") {
        return Ok(None);
    }
    let table = long(&header, 72).saturating_mul(SECTOR);
    let count = usize::try_from(word(&header, 80)).unwrap_or(MAX_PARTITIONS);
    if word(&header, 84) as usize != GPT_ENTRY {
        return Ok(Some(Vec::new()));
    }
    let mut places = Vec::new();
    for number in 0..count.min(MAX_PARTITIONS) {
        let mut entry = [0; GPT_ENTRY];
        let at = table.saturating_add((number * GPT_ENTRY) as u64);
        if !read(file, &mut entry, at)? {
            break;
        }
        let (first, last) = (long(&entry, 32), long(&entry, 40));
        if entry[..16] != [0; 16] && last >= first {
            let len = (last - first).saturating_add(1).saturating_mul(SECTOR);
            places.push((number + 1, first.saturating_mul(SECTOR), len));
        }
    }
    Ok(Some(places))
}

fn is_ext4(file: &File, start: u64) -> io::Result<bool> {
    let mut magic = [0; 2];
    let at = start.saturating_add(1024 + 0x38);
    Ok(read(file, &mut magic, at)? && magic == [0x53, 0xEF])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// Fills `buffer` from `at`; returns false when the file ends before.
fn read(file: &File, buffer: &mut [u8], at: u64) -> io::Result<bool> {
    if i64::try_from(at).is_err() {
        return Ok(false);
    }
    match file.read_exact_at(buffer, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(size: u64, parts: &[(u64, &[u8])]) -> Option<Foreign> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (at, bytes) in parts {
            file.write_all_at(bytes, *at).unwrap();
        }
        recognise(&file).unwrap()
    }

    fn partition(number: usize, start: u64, len: u64, is_ext4: bool) -> Partition {
        Partition {
            number,
            start,
            len,
            is_ext4,
        }
    }

    #[test]
    fn files_of_other_tools_are_known_by_their_first_bytes() {
        assert_eq!(
            of(1 << 20, &[(0, b"QFI\xFB\0\0\0\x03")]),
            Some(Foreign::Disk("qcow2"))
        );
        assert_eq!(
            of(4096, &[(0, b"hsqs")]),
            Some(Foreign::FileSystem("squashfs"))
        );
        assert_eq!(of(10, &[]), None);
        assert_eq!(of(1 << 20, &[(0, b"some text")]), None);
        let told = Foreign::Disk("qcow2").to_string();
        assert_eq!(told, "a qcow2 disk image");
    }

    #[test]
    fn partitions_of_both_kinds_of_table_are_listed() {
        let mut entry = [0; 16];
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&2048_u32.to_le_bytes());
        entry[12..16].copy_from_slice(&4096_u32.to_le_bytes());
        let mbr = of(
            8 << 20,
            &[
                (446, &entry),
                (510, &[0x55, 0xAA]),
                ((1 << 20) + 1024 + 0x38, &[0x53, 0xEF]),
            ],
        );
        let expected = partition(1, 1 << 20, 2 << 20, true);
        assert_eq!(mbr, Some(Foreign::Partitioned(vec![expected])));

        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[72] = 2;
        header[80] = 128;
        header[84] = 128;
        let mut second = [0; 128];
        second[0] = 1;
        second[32..40].copy_from_slice(&34_u64.to_le_bytes());
        second[40..48].copy_from_slice(&97_u64.to_le_bytes());
        let gpt = of(
            1 << 20,
            &[(510, &[0x55, 0xAA]), (512, &header), (1024 + 128, &second)],
        );
        let expected = partition(2, 34 * 512, 64 * 512, false);
        assert_eq!(gpt, Some(Foreign::Partitioned(vec![expected])));
    }

    #[test]
    fn tables_that_lie_are_no_partitions() {
        let mut entry = [0xFF; 16];
        entry[0] = 0x80;
        assert_eq!(of(4096, &[(446, &entry), (510, &[0x55, 0xAA])]), None);
        let mut header = [0xFF; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        assert_eq!(of(4096, &[(510, &[0x55, 0xAA]), (512, &header)]), None);
    }
}
