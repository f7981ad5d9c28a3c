//! A kernel image of any form in, an ELF `vmlinux` out.
//!
//! ```text
//!  bzImage ── setup header ── payload ── gzip | xz | zstd | lz4 ──┐
//!  vmlinux.gz, .xz, .zst, .lz4 ───────────────────────────────────┤
//!  vmlinux (ELF) ─────────────────────────────────────────────────┴──► vmlinux
//! ```
//!
//! The layout of a bzImage is `Documentation/arch/x86/boot.rst` of the kernel: the payload is the packed ELF file, and
//! for every packing but gzip its last four bytes are the unpacked length (`scripts/Makefile.lib`, `size_append`).

use crate::decompress::{Compression, decompress};
use crate::elf::{Elf, is_elf};
use crate::error::KernelError;
use banger_watch::Cancel;

/// Largest kernel image that is read, packed or not.
pub const IMAGE_MAX_BYTES: u64 = 512 << 20;

const SETUP_SECTS: usize = 0x1f1;
const BOOT_FLAG: usize = 0x1fe;
const HEADER_MAGIC: usize = 0x202;
const PROTOCOL_VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// First protocol version whose header tells where the payload is (Linux 2.6.26).
const PROTOCOL_WITH_PAYLOAD: u16 = 0x0208;
const SECTOR_BYTES: usize = 512;
/// Meaning of `setup_sects` 0 in the boot protocol.
const DEFAULT_SETUP_SECTS: usize = 4;

/// An unpacked kernel.
#[derive(Debug)]
pub struct Unpacked {
    /// The ELF file.
    pub vmlinux: Vec<u8>,
    /// Its packing; `None` when it already was an ELF file.
    pub compression: Option<Compression>,
    /// The bzImage it came out of, when it did: some machines boot nothing else.
    pub bzimage: Option<Vec<u8>>,
}

/// Unpacks `image` without external tools; an ELF file passes through.
///
/// # Errors
/// No known form, a damaged header or stream, another machine than x86-64, or more than [`IMAGE_MAX_BYTES`].
pub fn unpack(image: Vec<u8>, cancel: Cancel<'_>) -> Result<Unpacked, KernelError> {
    if image.len() as u64 > IMAGE_MAX_BYTES {
        return Err(KernelError::TooLarge {
            what: "the kernel image".to_owned(),
            limit: IMAGE_MAX_BYTES,
        });
    }
    let unpacked = if is_elf(&image) {
        Unpacked {
            vmlinux: image,
            compression: None,
            bzimage: None,
        }
    } else if let Some(compression) = Compression::detect(&image) {
        let vmlinux = decompress(&image, compression, IMAGE_MAX_BYTES, "kernel image", cancel)?;
        Unpacked {
            vmlinux,
            compression: Some(compression),
            bzimage: None,
        }
    } else {
        let (compression, vmlinux) = unpack_bzimage(&image, cancel)?;
        Unpacked {
            vmlinux,
            compression: Some(compression),
            bzimage: Some(image),
        }
    };
    Elf::parse(&unpacked.vmlinux).map_err(|source| KernelError::Elf {
        what: "the kernel image".to_owned(),
        source,
    })?;
    Ok(unpacked)
}

fn unpack_bzimage(image: &[u8], cancel: Cancel<'_>) -> Result<(Compression, Vec<u8>), KernelError> {
    let payload = payload(image)?;
    let compression = Compression::detect(payload).ok_or_else(|| {
        let head = &payload[..payload.len().min(6)];
        KernelError::NotAKernel(format!(
            "its payload begins with {head:02x?}: only gzip, xz, zstd and lz4 are known"
        ))
    })?;
    if compression == Compression::Gzip {
        let vmlinux = decompress(
            payload,
            compression,
            IMAGE_MAX_BYTES,
            "kernel payload",
            cancel,
        )?;
        return Ok((compression, vmlinux));
    }
    let (body, tail) = payload.split_last_chunk::<4>().ok_or_else(|| {
        KernelError::NotAKernel("its payload is shorter than its length field".to_owned())
    })?;
    let promised = u64::from(u32::from_le_bytes(*tail));
    if promised > IMAGE_MAX_BYTES {
        return Err(KernelError::TooLarge {
            what: "the unpacked kernel".to_owned(),
            limit: IMAGE_MAX_BYTES,
        });
    }
    // The promised length is the limit, too: a damaged stream cannot grow past it.
    let vmlinux = decompress(body, compression, promised, "kernel payload", cancel)?;
    if vmlinux.len() as u64 != promised {
        return Err(KernelError::NotAKernel(format!(
            "its payload unpacks to {} bytes, its header promises {promised}",
            vmlinux.len()
        )));
    }
    Ok((compression, vmlinux))
}

/// Bytes of a file that is no kernel by which it is told what it is.
const SHOWN: usize = 16;

/// Describes the beginning of a file that is no kernel.
fn beginning(file: &[u8]) -> String {
    let head = &file[..file.len().min(SHOWN)];
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if head.is_empty() {
        return "it is empty".to_owned();
    }
    if head.iter().all(is_text) {
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let line = text.lines().next().unwrap_or_default();
        return format!("it begins with the text \"{line}\"");
    }
    let digits: Vec<String> = head.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("it begins with the bytes {}", digits.join(" "))
}

fn payload(image: &[u8]) -> Result<&[u8], KernelError> {
    let broken = |why: String| KernelError::NotAKernel(why);
    if image.len() < PAYLOAD_LENGTH + 4
        || image[BOOT_FLAG..BOOT_FLAG + 2] != [0x55, 0xaa]
        || image[HEADER_MAGIC..HEADER_MAGIC + 4] != *b"HdrS"
    {
        return Err(broken(format!(
            "neither a bzImage nor an ELF vmlinux: {}",
            beginning(image)
        )));
    }
    let version = u16::from_le_bytes([image[PROTOCOL_VERSION], image[PROTOCOL_VERSION + 1]]);
    if version < PROTOCOL_WITH_PAYLOAD {
        return Err(broken(format!(
            "boot protocol {}.{:02} is older than 2.08",
            version >> 8,
            version & 0xff
        )));
    }
    let setup_sects = match image[SETUP_SECTS] {
        0 => DEFAULT_SETUP_SECTS,
        sectors => usize::from(sectors),
    };
    let field = |at: usize| {
        u32::from_le_bytes([image[at], image[at + 1], image[at + 2], image[at + 3]]) as usize
    };
    let (offset, length) = (field(PAYLOAD_OFFSET), field(PAYLOAD_LENGTH));
    let start = ((setup_sects + 1) * SECTOR_BYTES).checked_add(offset);
    start
        .and_then(|start| image.get(start..start.checked_add(length)?))
        .filter(|payload| !payload.is_empty())
        .ok_or_else(|| {
            broken(format!("its header places a payload of {length} bytes at {offset}, but the file has {} bytes", image.len()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{bzimage, gzip, lz4_legacy, vmlinux, with_size, xz, zstd};

    const NEVER: Cancel<'static> = &|| false;

    fn refused(image: Vec<u8>) -> String {
        unpack(image, NEVER).unwrap_err().to_string()
    }

    #[test]
    fn every_kind_of_payload_gives_the_same_vmlinux() {
        let kernel = vmlinux("6.1.0", Some(1));
        let size = kernel.len();
        let images = [
            bzimage(&gzip(&kernel)),
            bzimage(&with_size(xz(&kernel), size)),
            bzimage(&with_size(zstd(&kernel), size)),
            bzimage(&with_size(lz4_legacy(&kernel), size)),
        ];
        for image in images {
            let unpacked = unpack(image.clone(), NEVER).unwrap();
            assert_eq!(unpacked.vmlinux, kernel);
            assert_eq!(unpacked.bzimage, Some(image));
        }
    }

    #[test]
    fn a_vmlinux_passes_through_and_a_packed_one_is_unpacked() {
        let kernel = vmlinux("6.1.0", None);
        let unpacked = unpack(kernel.clone(), NEVER).unwrap();
        assert_eq!(
            (unpacked.vmlinux, unpacked.compression),
            (kernel.clone(), None)
        );
        assert_eq!(unpack(xz(&kernel), NEVER).unwrap().vmlinux, kernel);
    }

    #[test]
    fn what_is_no_kernel_says_what_it_is() {
        for (bytes, words) in [
            (&b""[..], "it is empty"),
            (b"hello\nworld, this is text", "the text \"hello\""),
            (b"\x7fABC", "the bytes 7f 41 42 43"),
        ] {
            let said = refused(bytes.to_vec());
            assert!(
                said.contains("neither a bzImage nor an ELF vmlinux: ") && said.contains(words),
                "{said}"
            );
        }
        assert!(refused(bzimage(b"BZh91AY")).contains("only gzip, xz, zstd and lz4 are known"));
        assert!(refused(bzimage(&gzip(b"no ELF"))).contains("not a usable ELF file"));
        let mut old = bzimage(&gzip(b"x"));
        old[0x206] = 7;
        old[0x207] = 2;
        assert!(refused(old).contains("boot protocol 2.07 is older"));
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let kernel = vmlinux("6.1.0", None);
        for (at, value) in [
            (0x248, u32::MAX),
            (0x24c, u32::MAX),
            (0x24c, 0),
            (0x248, 1 << 20),
        ] {
            let mut image = bzimage(&gzip(&kernel));
            image[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(
                refused(image).contains("its header places a payload"),
                "{at:#x} {value}"
            );
        }
        assert!(
            refused(bzimage(&with_size(zstd(&kernel), kernel.len() + 1)))
                .contains("its header promises")
        );
        assert!(
            refused(bzimage(&with_size(zstd(&kernel), kernel.len() - 1)))
                .contains("larger than the limit")
        );
        assert!(
            refused(bzimage(&with_size(zstd(&kernel), 1 << 30)))
                .contains("limit of 536870912 bytes")
        );
    }

    #[test]
    fn every_cut_is_an_error_and_never_a_panic() {
        let image = bzimage(&with_size(
            lz4_legacy(&vmlinux("6.1.0", None)),
            vmlinux("6.1.0", None).len(),
        ));
        for length in 0..image.len() {
            assert!(
                unpack(image[..length].to_vec(), NEVER).is_err(),
                "cut at {length}"
            );
        }
    }
}
