//! Small archives, ELF files and kernels for tests, built byte by byte.

use std::io::Write;

pub(crate) fn ar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, content) in members {
        out.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                "100644",
                content.len()
            )
            .bytes(),
        );
        out.extend(content);
        if content.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files {
        if name.len() > 100 {
            let mut long = name.as_bytes().to_vec();
            long.push(0);
            tar_entry(&mut out, "././@LongLink", b'L', &long);
        }
        tar_entry(&mut out, name, b'0', content);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn tar_entry(out: &mut Vec<u8>, name: &str, kind: u8, content: &[u8]) {
    let mut header = [0; 512];
    let name = &name.as_bytes()[..name.len().min(100)];
    header[..name.len()].copy_from_slice(name);
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar  \0");
    set_tar_checksum(&mut header);
    out.extend(header);
    out.extend(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// Of the first header in `bytes`.
pub(crate) fn set_tar_checksum(bytes: &mut [u8]) {
    bytes[148..156].fill(b' ');
    let sum: u64 = bytes[..512].iter().map(|byte| u64::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

pub(crate) fn lz4_legacy(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x02, 0x21, 0x4c, 0x18];
    for block in bytes.chunks(8 << 20) {
        let packed = lz4_flex::block::compress(block);
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(packed);
    }
    out
}

/// A bzImage whose payload is `packed`.
pub(crate) fn bzimage(packed: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2 * 512];
    out[0x1f1] = 1;
    out[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    out[0x202..0x206].copy_from_slice(b"HdrS");
    out[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    out[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
    out[0x24c..0x250].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    out.extend([0xcc; 16]);
    out.extend(packed);
    out
}

/// A payload with the length at its end, as the kernel's build appends it.
pub(crate) fn with_size(mut packed: Vec<u8>, size: usize) -> Vec<u8> {
    packed.extend((size as u32).to_le_bytes());
    packed
}

/// A minimal ELF64 file with one named section and, when asked, a PVH note.
pub(crate) fn elf(section: (&str, &[u8]), pvh: Option<u64>) -> Vec<u8> {
    let note: Vec<u8> = pvh.map_or_else(Vec::new, |entry| {
        let mut note = Vec::new();
        // Another note first, so that the walk is tested.
        for word in [4_u32, 3, 1] {
            note.extend(word.to_le_bytes());
        }
        note.extend(*b"GNU\0abc\0");
        for word in [4_u32, 8, 18] {
            note.extend(word.to_le_bytes());
        }
        note.extend(*b"Xen\0");
        note.extend(entry.to_le_bytes());
        note
    });
    let names = format!("\0{}\0.shstrtab\0", section.0);
    let (note_at, content_at) = (64 + 56, 64 + 56 + note.len());
    let names_at = content_at + section.1.len();
    let sections_at = names_at + names.len();
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend(2_u16.to_le_bytes());
    out.extend(62_u16.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    for word in [0x100_0000_u64, 64, sections_at as u64] {
        out.extend(word.to_le_bytes());
    }
    out.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, u16::from(pvh.is_some()), 64, 3, 2] {
        out.extend(half.to_le_bytes());
    }
    out.extend(4_u32.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    for word in [
        note_at as u64,
        0,
        0,
        note.len() as u64,
        note.len() as u64,
        4,
    ] {
        out.extend(word.to_le_bytes());
    }
    out.extend(&note);
    out.extend(section.1);
    out.extend(names.as_bytes());
    let mut header = |name: usize, kind: u32, offset: usize, size: usize| {
        out.extend((name as u32).to_le_bytes());
        out.extend(kind.to_le_bytes());
        for word in [0, 0, offset as u64, size as u64, 0, 1, 0] {
            out.extend(word.to_le_bytes());
        }
    };
    header(0, 0, 0, 0);
    header(1, 1, content_at, section.1.len());
    header(section.0.len() + 2, 3, names_at, names.len());
    out
}

/// A kernel whose banner names `release`.
pub(crate) fn vmlinux(release: &str, pvh: Option<u64>) -> Vec<u8> {
    elf(
        (
            ".rodata",
            format!("padding Linux version {release} (builder@host) #1 SMP\0").as_bytes(),
        ),
        pvh,
    )
}

/// A module with its facts in `.modinfo`.
pub(crate) fn module(name: &str, depends: &str, release: &str) -> Vec<u8> {
    let info = format!(
        "license=GPL\0depends={depends}\0name={name}\0vermagic={release} SMP mod_unload \0"
    );
    elf((".modinfo", info.as_bytes()), None)
}
