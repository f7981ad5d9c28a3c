//! The little of ELF64 that is needed: named sections, the PVH note. Every offset comes from outside and is checked.
//!
//! Formats: System V ABI, chapters 4 and 5; the PVH entry is `XEN_ELFNOTE_PHYS32_ENTRY`
//! (`include/xen/interface/elfnote.h`, QEMU's `hw/i386/x86.c`).

use std::ops::Range;

const HEADER_BYTES: usize = 64;
const SECTION_HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
/// More sections than the largest kernel or module has; the format allows 2^32.
const SECTIONS_MAX: usize = 8192;
const PROGRAM_HEADERS_MAX: usize = 256;
const NOTES_MAX: usize = 256;

const MACHINE_X86_64: u16 = 62;
const TYPE_NOBITS: u32 = 8;
const SEGMENT_NOTE: u32 = 4;
const XEN_NOTE_NAME: &[u8] = b"Xen\0";
const XEN_NOTE_PHYS32_ENTRY: u32 = 18;

/// Causes that bytes are not usable as ELF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// The magic is missing.
    #[error("no ELF magic")]
    NotElf,
    /// A header field has a value that banger does not handle.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// The field's name in the ABI.
        field: &'static str,
        /// Its value.
        found: u64,
        /// Values that are handled.
        expected: &'static str,
    },
    /// Something points past the end of the file.
    #[error("{0} lies outside the file")]
    OutOfBounds(&'static str),
}

/// A checked view of an ELF64 x86-64 file.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    bytes: &'a [u8],
    program_headers: Table,
    sections: Table,
    names_section: usize,
}

#[derive(Debug, Clone, Copy)]
struct Table {
    offset: u64,
    count: usize,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        if !is_elf(bytes) {
            return Err(ElfError::NotElf);
        }
        let header = Fields {
            bytes: slice(bytes, 0, HEADER_BYTES, "the ELF header")?,
        };
        expect(
            "e_ident[EI_CLASS]",
            u64::from(header.bytes[4]),
            2,
            "2 (64 bit)",
        )?;
        expect(
            "e_ident[EI_DATA]",
            u64::from(header.bytes[5]),
            1,
            "1 (little endian)",
        )?;
        expect(
            "e_machine",
            u64::from(header.u16(18)),
            u64::from(MACHINE_X86_64),
            "62 (x86-64)",
        )?;
        let program_headers = Table {
            offset: header.u64(32),
            count: usize::from(header.u16(56)),
        };
        let sections = Table {
            offset: header.u64(40),
            count: usize::from(header.u16(60)),
        };
        if program_headers.count > 0 {
            expect(
                "e_phentsize",
                u64::from(header.u16(54)),
                PROGRAM_HEADER_BYTES as u64,
                "56",
            )?;
        }
        if sections.count > 0 {
            expect(
                "e_shentsize",
                u64::from(header.u16(58)),
                SECTION_HEADER_BYTES as u64,
                "64",
            )?;
        }
        at_most(
            "e_phnum",
            program_headers.count,
            PROGRAM_HEADERS_MAX,
            "at most 256",
        )?;
        at_most("e_shnum", sections.count, SECTIONS_MAX, "at most 8192")?;
        Ok(Self {
            bytes,
            program_headers,
            sections,
            names_section: usize::from(header.u16(62)),
        })
    }

    /// The content of the first section called `name`; `None` when there is none or it has no bytes in the file.
    pub(crate) fn section(&self, name: &[u8]) -> Result<Option<&'a [u8]>, ElfError> {
        if self.sections.count == 0 {
            return Ok(None);
        }
        let names = self
            .section_content(self.names_section)?
            .unwrap_or_default();
        for index in 0..self.sections.count {
            let start = self.section_header(index)?.u32(0) as usize;
            let matches = names
                .get(start..)
                .and_then(|tail| tail.strip_prefix(name))
                .is_some_and(|tail| tail.first() == Some(&0));
            if matches {
                return self.section_content(index);
            }
        }
        Ok(None)
    }

    /// Address at which QEMU enters the kernel without firmware: the physical one in the PVH note.
    pub(crate) fn pvh_entry(&self) -> Result<Option<u64>, ElfError> {
        for index in 0..self.program_headers.count {
            let header = self.header(
                self.program_headers,
                index,
                PROGRAM_HEADER_BYTES,
                "a program header",
            )?;
            if header.u32(0) == SEGMENT_NOTE {
                let notes = slice64(self.bytes, header.u64(8), header.u64(32), "a note segment")?;
                if let Some(entry) = xen_phys32_entry(notes)? {
                    return Ok(Some(entry));
                }
            }
        }
        Ok(None)
    }

    fn section_content(&self, index: usize) -> Result<Option<&'a [u8]>, ElfError> {
        let header = self.section_header(index)?;
        if header.u32(4) == TYPE_NOBITS {
            return Ok(None);
        }
        slice64(self.bytes, header.u64(24), header.u64(32), "a section").map(Some)
    }

    fn section_header(&self, index: usize) -> Result<Fields<'a>, ElfError> {
        self.header(
            self.sections,
            index,
            SECTION_HEADER_BYTES,
            "a section header",
        )
    }

    fn header(
        &self,
        table: Table,
        index: usize,
        size: usize,
        what: &'static str,
    ) -> Result<Fields<'a>, ElfError> {
        if index >= table.count {
            return Err(ElfError::OutOfBounds(what));
        }
        let offset = table
            .offset
            .checked_add((index * size) as u64)
            .ok_or(ElfError::OutOfBounds(what))?;
        Ok(Fields {
            bytes: slice64(self.bytes, offset, size as u64, what)?,
        })
    }
}

/// Tells whether the bytes begin as an ELF file does.
pub(crate) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

fn xen_phys32_entry(mut notes: &[u8]) -> Result<Option<u64>, ElfError> {
    const WHAT: &str = "a note";
    for _ in 0..NOTES_MAX {
        if notes.len() < 12 {
            return Ok(None);
        }
        let header = Fields { bytes: notes };
        let (name_len, desc_len, kind) = (
            header.u32(0) as usize,
            header.u32(4) as usize,
            header.u32(8),
        );
        let name = slice(notes, 12, name_len, WHAT)?;
        let desc_start = 12usize
            .checked_add(padded(name_len)?)
            .ok_or(ElfError::OutOfBounds(WHAT))?;
        let desc = slice(notes, desc_start, desc_len, WHAT)?;
        if name == XEN_NOTE_NAME && kind == XEN_NOTE_PHYS32_ENTRY {
            return match *desc {
                [a, b, c, d] => Ok(Some(u64::from(u32::from_le_bytes([a, b, c, d])))),
                [a, b, c, d, e, f, g, h] => Ok(Some(u64::from_le_bytes([a, b, c, d, e, f, g, h]))),
                _ => Err(ElfError::Field {
                    field: "PVH note size",
                    found: desc_len as u64,
                    expected: "4 or 8",
                }),
            };
        }
        let next = desc_start
            .checked_add(padded(desc_len)?)
            .ok_or(ElfError::OutOfBounds(WHAT))?;
        notes = notes.get(next..).unwrap_or_default();
    }
    Ok(None)
}

fn padded(length: usize) -> Result<usize, ElfError> {
    length
        .checked_next_multiple_of(4)
        .ok_or(ElfError::OutOfBounds("a note"))
}

fn expect(
    field: &'static str,
    found: u64,
    wanted: u64,
    expected: &'static str,
) -> Result<(), ElfError> {
    if found == wanted {
        Ok(())
    } else {
        Err(ElfError::Field {
            field,
            found,
            expected,
        })
    }
}

fn at_most(
    field: &'static str,
    found: usize,
    limit: usize,
    expected: &'static str,
) -> Result<(), ElfError> {
    if found <= limit {
        Ok(())
    } else {
        Err(ElfError::Field {
            field,
            found: found as u64,
            expected,
        })
    }
}

fn slice<'a>(
    bytes: &'a [u8],
    start: usize,
    length: usize,
    what: &'static str,
) -> Result<&'a [u8], ElfError> {
    let end = start
        .checked_add(length)
        .ok_or(ElfError::OutOfBounds(what))?;
    bytes
        .get(Range { start, end })
        .ok_or(ElfError::OutOfBounds(what))
}

fn slice64<'a>(
    bytes: &'a [u8],
    start: u64,
    length: u64,
    what: &'static str,
) -> Result<&'a [u8], ElfError> {
    // On a 32-bit host a larger value is out of the file's bounds in any case.
    let clamp = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    slice(bytes, clamp(start), clamp(length), what)
}

/// Fixed-offset reads in a header whose size has been checked.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8],
}

impl Fields<'_> {
    fn array<const N: usize>(self, offset: usize) -> [u8; N] {
        let mut value = [0; N];
        value.copy_from_slice(&self.bytes[offset..offset + N]);
        value
    }
    fn u16(self, offset: usize) -> u16 {
        u16::from_le_bytes(self.array(offset))
    }
    fn u32(self, offset: usize) -> u32 {
        u32::from_le_bytes(self.array(offset))
    }
    fn u64(self, offset: usize) -> u64 {
        u64::from_le_bytes(self.array(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::elf;

    #[test]
    fn the_pvh_entry_is_found_after_other_notes() {
        let bytes = elf((".rodata", b"x"), Some(0x100_0000));
        assert_eq!(
            Elf::parse(&bytes).unwrap().pvh_entry(),
            Ok(Some(0x100_0000))
        );
        let bytes = elf((".rodata", b"x"), None);
        assert_eq!(Elf::parse(&bytes).unwrap().pvh_entry(), Ok(None));
    }

    #[test]
    fn a_section_is_found_by_its_whole_name() {
        let bytes = elf((".modinfo", b"name=x\0"), None);
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.section(b".modinfo"), Ok(Some(&b"name=x\0"[..])));
        assert_eq!(elf.section(b".modinf"), Ok(None));
        assert_eq!(elf.section(b".modinfo2"), Ok(None));
    }

    #[test]
    fn another_machine_is_named() {
        let mut bytes = elf((".rodata", b"x"), None);
        bytes[18] = 183;
        assert_eq!(
            Elf::parse(&bytes).unwrap_err().to_string(),
            "e_machine is 183, expected 62 (x86-64)"
        );
    }

    #[test]
    fn hostile_offsets_are_errors_and_never_a_panic() {
        let bytes = elf((".modinfo", b"name=x\0"), Some(1));
        let walk = |bytes: &[u8]| {
            let elf = Elf::parse(bytes)?;
            elf.section(b".modinfo")?;
            elf.pvh_entry()
        };
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut hostile = bytes.clone();
                hostile[at..(at + 8).min(bytes.len())].fill(value);
                let _ = walk(&hostile);
            }
        }
        for length in 0..bytes.len() {
            assert!(walk(&bytes[..length]).is_err(), "cut at {length}");
        }
    }
}
