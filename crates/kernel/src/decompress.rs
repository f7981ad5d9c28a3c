//! Bounded decompression of what kernels, modules and packages are packed with.

use std::io::{self, BufRead, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use crate::error::KernelError;
use banger_watch::Cancel;

/// Memory that an xz stream may ask for: `xz -9` and the kernel's own settings need 65 and at most 130 MiB.
const XZ_MEMORY_LIMIT: u64 = 256 << 20;
/// Window of a zstd stream as a power of two: `zstd --ultra -22`, the kernel's setting, needs 2^27.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Read between two cancel checks.
const STEP_BYTES: u64 = 4 << 20;

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4_LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Content of one block of an LZ4 legacy stream (`lib/decompress_unlz4.c`, `LZ4_DEFAULT_UNCOMPRESSED_CHUNK_SIZE`).
const LZ4_BLOCK_BYTES: usize = 8 << 20;
/// Longest packed form of such a block (`LZ4_COMPRESSBOUND`).
const LZ4_PACKED_BLOCK_MAX: usize = LZ4_BLOCK_BYTES + LZ4_BLOCK_BYTES / 255 + 16;

/// A packing that banger reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// The .xz file format.
    Xz,
    /// RFC 8878.
    Zstd,
    /// The `lz4 -l` format that the kernel uses.
    Lz4Legacy,
}

impl Compression {
    /// Recognises a stream by its first bytes (six are enough).
    #[must_use]
    pub fn detect(head: &[u8]) -> Option<Self> {
        if head.starts_with(&GZIP_MAGIC) {
            Some(Self::Gzip)
        } else if head.starts_with(&XZ_MAGIC) {
            Some(Self::Xz)
        } else if head.starts_with(&ZSTD_MAGIC) {
            Some(Self::Zstd)
        } else if head.starts_with(&LZ4_LEGACY_MAGIC) {
            Some(Self::Lz4Legacy)
        } else {
            None
        }
    }

    /// The name that people and file names use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4Legacy => "lz4",
        }
    }

    /// A decoder over `input`, with bounded memory. LZ4 legacy streams are only read whole, by [`decompress`].
    pub(crate) fn reader<'r>(self, input: impl BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(input)),
            Self::Xz => Box::new(XzDecoder::new_stream(
                input,
                Stream::new_stream_decoder(XZ_MEMORY_LIMIT, 0)?,
            )),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
            Self::Lz4Legacy => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "lz4 legacy streams are not for archives",
                ));
            }
        })
    }
}

/// Decompresses all of `input`; `what` names it in errors.
///
/// # Errors
/// A damaged stream, more than `limit` bytes of content, or cancelled.
pub fn decompress(
    input: &[u8],
    compression: Compression,
    limit: u64,
    what: &str,
    cancel: Cancel<'_>,
) -> Result<Vec<u8>, KernelError> {
    if compression == Compression::Lz4Legacy {
        return decompress_lz4_legacy(input, limit, what, cancel);
    }
    let damaged = |source| KernelError::Decompress {
        what: what.to_owned(),
        source,
    };
    let mut reader = compression.reader(input).map_err(damaged)?;
    let mut output = Vec::new();
    loop {
        if cancel() {
            return Err(KernelError::Cancelled);
        }
        let read = reader
            .by_ref()
            .take(STEP_BYTES)
            .read_to_end(&mut output)
            .map_err(damaged)?;
        if output.len() as u64 > limit {
            return Err(too_large(what, limit));
        }
        if read == 0 {
            return Ok(output);
        }
    }
}

/// A magic, then blocks: packed length (u32 little endian), packed bytes. The end is the end of the input.
fn decompress_lz4_legacy(
    input: &[u8],
    limit: u64,
    what: &str,
    cancel: Cancel<'_>,
) -> Result<Vec<u8>, KernelError> {
    let damaged = |why: String| KernelError::Decompress {
        what: what.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, why),
    };
    let mut rest = input
        .strip_prefix(&LZ4_LEGACY_MAGIC)
        .ok_or_else(|| damaged("no lz4 magic".to_owned()))?;
    let mut output = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        if cancel() {
            return Err(KernelError::Cancelled);
        }
        if *length == LZ4_LEGACY_MAGIC {
            rest = tail; // Streams may be concatenated.
            continue;
        }
        let length = u32::from_le_bytes(*length) as usize;
        if length > LZ4_PACKED_BLOCK_MAX || length > tail.len() {
            return Err(damaged(format!(
                "lz4 block of {length} bytes where {} are left",
                tail.len()
            )));
        }
        let (block, tail) = tail.split_at(length);
        rest = tail;
        let start = output.len();
        if start as u64 + 1 > limit {
            return Err(too_large(what, limit));
        }
        output.resize(start + LZ4_BLOCK_BYTES, 0);
        let written =
            lz4_flex::block::decompress_into(block, &mut output[start..]).map_err(|source| {
                KernelError::Decompress {
                    what: what.to_owned(),
                    source: io::Error::other(source),
                }
            })?;
        output.truncate(start + written);
        if output.len() as u64 > limit {
            return Err(too_large(what, limit));
        }
    }
    if rest.is_empty() {
        Ok(output)
    } else {
        Err(damaged(format!(
            "{} stray bytes after the last lz4 block",
            rest.len()
        )))
    }
}

fn too_large(what: &str, limit: u64) -> KernelError {
    KernelError::TooLarge {
        what: format!("uncompressed {what}"),
        limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{gzip, lz4_legacy, xz, zstd};

    const NEVER: Cancel<'static> = &|| false;

    fn packed(content: &[u8]) -> [(Compression, Vec<u8>); 4] {
        [
            (Compression::Gzip, gzip(content)),
            (Compression::Xz, xz(content)),
            (Compression::Zstd, zstd(content)),
            (Compression::Lz4Legacy, lz4_legacy(content)),
        ]
    }

    #[test]
    fn every_packing_is_recognised_and_unpacked() {
        let content: Vec<u8> = (0..20_000_000_u32).map(|n| (n / 1000) as u8).collect();
        for (compression, stream) in packed(&content) {
            assert_eq!(Compression::detect(&stream), Some(compression));
            let unpacked = decompress(&stream, compression, 20_000_000, "test", NEVER).unwrap();
            assert!(unpacked == content, "{}", compression.name());
        }
        assert_eq!(Compression::detect(b"BZh9"), None);
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        for (compression, stream) in packed(&vec![0; 64 << 20]) {
            let error = decompress(&stream, compression, 1 << 20, "bomb", NEVER).unwrap_err();
            assert_eq!(
                error.to_string(),
                "uncompressed bomb is larger than the limit of 1048576 bytes",
                "{compression:?}"
            );
        }
    }

    #[test]
    fn a_cut_or_damaged_stream_is_an_error_and_never_a_panic() {
        let content: Vec<u8> = (0..3000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        for (compression, stream) in packed(&content) {
            for length in (0..stream.len()).step_by(97) {
                let result = decompress(&stream[..length], compression, 1 << 20, "cut", NEVER);
                // A zstd or lz4 stream may be empty; none may pass as the whole.
                assert!(
                    result.is_err() || result.unwrap().len() < content.len(),
                    "{compression:?} cut at {length}"
                );
            }
            for at in (0..stream.len()).step_by(61) {
                let mut damaged = stream.clone();
                damaged[at] ^= 0x40;
                // Not every format has a checksum; what counts is that it ends, within the limit.
                let _ = decompress(&damaged, compression, 1 << 20, "damaged", NEVER);
            }
        }
    }

    #[test]
    fn cancel_is_heard() {
        for (compression, stream) in packed(b"content") {
            let error = decompress(&stream, compression, 1 << 20, "test", &|| true).unwrap_err();
            assert!(matches!(error, KernelError::Cancelled), "{compression:?}");
        }
    }
}
