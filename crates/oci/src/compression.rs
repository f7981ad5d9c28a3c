//! Compressed streams, known by their first bytes and unpacked within a limit.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::fs::FileExt;

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use crate::window::{LARGEST_WINDOW, Window};

/// Bytes read from the compressed file, and handed on, at a time.
const BUFFER: usize = 1 << 18;

/// Most memory that an xz decoder may take, in bytes: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 100 << 20;

/// Compression of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// None, or an unknown one.
    None,
    /// gzip (RFC 1952), also with several members.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
    /// A known format that is not supported: its name.
    Other(&'static str),
}

/// First bytes of a file that tell how it is compressed: at most so many are looked at.
pub const MAGIC: usize = 10;

/// Failure to unpack a stream.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream is broken or ends early, or it cannot be read.
    #[error("the compressed data is broken or cut short")]
    Read(#[source] io::Error),
    /// The unpacked data cannot be stored.
    #[error("cannot keep the unpacked data")]
    Write(#[source] io::Error),
    /// The unpacked data exceed the limit.
    #[error("it unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The unpacked archive has more entries than the limit.
    #[error("it has more than {limit} entries: the next one is \"{entry}\"")]
    TooManyEntries {
        /// The first that is too many, printable.
        entry: String,
        /// The limit.
        limit: u64,
    },
    /// Its compression is not supported.
    #[error(
        "it is compressed with {name}, which is not supported: pack it again with gzip, xz or zstd"
    )]
    Unsupported {
        /// Name of the compression.
        name: &'static str,
    },
    /// It wants a larger window than any stream gets.
    #[error(
        "it was compressed with a window of {} MiB, at most {} MiB are taken: pack it again without `zstd --long` beyond 27",
        bytes >> 20,
        LARGEST_WINDOW >> 20
    )]
    Window {
        /// The window in bytes.
        bytes: u64,
    },
    /// The caller asked to stop.
    #[error("unpacking was cancelled")]
    Cancelled,
}

impl Compression {
    /// Compression by the first bytes of `file`.
    ///
    /// # Errors
    /// The system's answer to reading them.
    pub fn of(file: &File) -> io::Result<Self> {
        let mut magic = [0; MAGIC];
        let mut len = 0;
        while len < magic.len() {
            match file.read_at(&mut magic[len..], len as u64)? {
                0 => break,
                read => len += read,
            }
        }
        Ok(Self::of_magic(&magic[..len]))
    }

    /// Compression by the first bytes of a file.
    pub fn of_magic(magic: &[u8]) -> Self {
        match magic {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Self::Zstd,
            // A frame that decoders skip, which pzstd and others put first.
            [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Self::Zstd,
            // With the mark of its first block, or of its end: text alone could be a name in an archive.
            [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x31,
                0x41,
                0x59,
                0x26,
                0x53,
                0x59,
                ..,
            ]
            | [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x17,
                0x72,
                0x45,
                0x38,
                0x50,
                0x90,
                ..,
            ] => Self::Other("bzip2"),
            [0x04, 0x22, 0x4D, 0x18, ..] => Self::Other("lz4"),
            [0x1F, 0x9D, ..] => Self::Other("compress"),
            [0x5D, 0, 0, _, _, 0xFF, 0xFF, ..] => Self::Other("lzma"),
            [b'L', b'Z', b'I', b'P', 1, ..] => Self::Other("lzip"),
            _ => Self::None,
        }
    }

    /// Unpacks `from`, at most `limit` bytes, and passes them to `take` piece by piece.
    ///
    /// # Errors
    /// The data is broken, cut short or too large, or `take` fails.
    pub fn unpack(
        self,
        from: impl Read,
        limit: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let mut input = BufReader::with_capacity(BUFFER, from);
        match self {
            Self::None => pump(input, limit, take),
            Self::Other(name) => Err(UnpackError::Unsupported { name }),
            Self::Gzip => pump(MultiGzDecoder::new(input), limit, take),
            Self::Xz => {
                let _alone = Window::largest();
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)
                    .map_err(|error| UnpackError::Read(error.into()))?;
                pump(XzDecoder::new_stream(input, stream), limit, take)
            }
            Self::Zstd => {
                let window = Window::of(input.fill_buf().map_err(UnpackError::Read)?)
                    .map_err(|bytes| UnpackError::Window { bytes })?;
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(input).map_err(UnpackError::Read)?;
                decoder
                    .window_log_max(window.log)
                    .map_err(UnpackError::Read)?;
                pump(decoder, limit, take)
            }
        }
    }
}

fn pump(
    mut from: impl Read,
    limit: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        let len = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(UnpackError::Read(error)),
        };
        total += len as u64;
        if total > limit {
            return Err(UnpackError::TooLarge { limit });
        }
        take(&buffer[..len])?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn unpacked(
        compression: Compression,
        packed: &[u8],
        limit: u64,
    ) -> Result<Vec<u8>, UnpackError> {
        let mut out = Vec::new();
        compression.unpack(packed, limit, &mut |bytes| {
            out.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_kind_is_known_by_its_first_bytes_and_unpacks() {
        let plain = b"banger ".repeat(100_000);
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&plain).unwrap();
        let zstd = zstd::stream::encode_all(&plain[..], 1).unwrap();
        let packed = [
            (Compression::Gzip, gzip(&plain)),
            (Compression::Xz, xz.finish().unwrap()),
            (Compression::Zstd, zstd),
            (Compression::None, plain.clone()),
        ];
        for (kind, bytes) in packed {
            assert_eq!(Compression::of_magic(&bytes), kind);
            assert!(
                unpacked(kind, &bytes, 1 << 20).unwrap() == plain,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn what_is_compressed_otherwise_is_called_so() {
        let bzip2 = b"BZh91AY&SY\0\0";
        assert_eq!(Compression::of_magic(bzip2), Compression::Other("bzip2"));
        // The name of a file at the start of an archive.
        assert_eq!(Compression::of_magic(b"BZh9.txt\0\0"), Compression::None);
        let refused = unpacked(Compression::Other("bzip2"), bzip2, 10).unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("it is compressed with bzip2")
        );
    }

    #[test]
    fn a_window_that_nothing_gets_is_named() {
        // A header that asks for 2 GiB (RFC 8878, 3.1.1.1.2).
        let header = [0x28, 0xB5, 0x2F, 0xFD, 0, 21 << 3, 1, 0, 0];
        let refused = unpacked(Compression::Zstd, &header, 10).unwrap_err();
        let said = refused.to_string();
        assert!(
            said.contains("a window of 2048 MiB, at most 128 MiB"),
            "{said}"
        );
    }

    #[test]
    fn gzip_members_follow_each_other() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(unpacked(Compression::Gzip, &two, 100).unwrap(), b"one two");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 1 << 20);
        let stopped = unpacked(Compression::Gzip, &bomb, 1 << 20).unwrap_err();
        assert_eq!(stopped.to_string(), "it unpacks to more than 1048576 bytes");
    }

    #[test]
    fn streams_that_are_cut_short_are_errors() {
        let plain = b"banger ".repeat(1000);
        let gzip = gzip(&plain);
        let zstd = zstd::stream::encode_all(&plain[..], 1).unwrap();
        for (kind, bytes) in [(Compression::Gzip, gzip), (Compression::Zstd, zstd)] {
            let cut = &bytes[..bytes.len() - 5];
            assert!(
                matches!(unpacked(kind, cut, 1 << 20), Err(UnpackError::Read(_))),
                "{kind:?}"
            );
        }
    }
}
