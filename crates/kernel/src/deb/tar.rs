//! The plain files of a tar stream, as dpkg-deb writes it: ustar headers and GNU long names.
//!
//! Everything else that tar can say (links, devices, pax records) is stepped over: a kernel package needs none of it.

use std::io::{self, Read};

use crate::error::KernelError;

const BLOCK: usize = 512;
/// Content of a whole archive, stepped over or not.
const ARCHIVE_MAX_BYTES: u64 = 4 << 30;
/// Debian's largest kernel package has some 5,000 entries.
const ENTRIES_MAX: usize = 100_000;
const NAME_MAX_BYTES: u64 = 4096;

/// One plain file.
pub(crate) struct TarFile<'a> {
    /// Its name, without `./` in front.
    pub(crate) name: &'a str,
    /// Its size in bytes.
    pub(crate) size: u64,
    content: &'a mut dyn Read,
}

impl TarFile<'_> {
    /// The whole content, when it is at most `limit` bytes.
    pub(crate) fn read(&mut self, limit: u64) -> Result<Vec<u8>, KernelError> {
        if self.size > limit {
            return Err(KernelError::TooLarge {
                what: self.name.to_owned(),
                limit,
            });
        }
        let mut bytes = Vec::new();
        self.content
            .read_to_end(&mut bytes)
            .map_err(|source| unpack_error(self.name, source))?;
        if (bytes.len() as u64) < self.size {
            return Err(KernelError::NotAKernelPackage(format!(
                "it ends within {}",
                self.name
            )));
        }
        Ok(bytes)
    }
}

pub(super) fn walk(
    input: impl Read,
    visit: &mut dyn FnMut(&mut TarFile<'_>) -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    let mut stream = Stream { input, offset: 0 };
    let mut long_name = None;
    for _ in 0..ENTRIES_MAX {
        let Some(header) = stream.header()? else {
            return Ok(());
        };
        match header.kind {
            b'L' => {
                let name = stream.content(header.size.min(NAME_MAX_BYTES + 1))?;
                if header.size > NAME_MAX_BYTES {
                    return Err(stream.damaged("a name is longer than 4096 bytes"));
                }
                stream.skip(padding(header.size))?;
                long_name = Some(text(&name));
            }
            b'0' | 0 | b'7' => {
                let name = long_name.take().unwrap_or(header.name);
                stream.file(&name, header.size, visit)?;
            }
            kind => {
                // A link name belongs to the next entry; anything else consumes the long name.
                if kind != b'K' {
                    long_name = None;
                }
                stream.skip(header.size + padding(header.size))?;
            }
        }
    }
    Err(KernelError::TooLarge {
        what: "the number of files in the package".to_owned(),
        limit: ENTRIES_MAX as u64,
    })
}

struct Header {
    name: String,
    size: u64,
    kind: u8,
}

struct Stream<R> {
    input: R,
    offset: u64,
}

impl<R: Read> Stream<R> {
    /// `None` at the end of the archive: a block of zeros, or the end of the stream between entries.
    fn header(&mut self) -> Result<Option<Header>, KernelError> {
        let block = self.content(BLOCK as u64)?;
        if block.is_empty() || block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if block.len() < BLOCK {
            return Err(self.damaged("the archive ends within a header"));
        }
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u64::from(*byte)
                }
            })
            .sum();
        if octal(&block[148..156]) != Some(sum) {
            return Err(self.damaged("a header has a wrong checksum"));
        }
        let kind = block[156];
        // Links and folders may carry a size that means nothing (POSIX ustar).
        let size = if matches!(kind, b'1'..=b'6') {
            Some(0)
        } else {
            octal(&block[124..136])
        };
        let size = size
            .filter(|size| *size <= ARCHIVE_MAX_BYTES)
            .ok_or_else(|| self.damaged("a size is unreadable or absurd"))?;
        let mut name = text(&block[..100]);
        if block[257..263] == *b"ustar\0" && block[345] != 0 {
            name = format!("{}/{name}", text(&block[345..500]));
        }
        Ok(Some(Header { name, size, kind }))
    }

    fn file(
        &mut self,
        name: &str,
        size: u64,
        visit: &mut dyn FnMut(&mut TarFile<'_>) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let mut content = (&mut self.input).take(size);
        visit(&mut TarFile {
            name: name.strip_prefix("./").unwrap_or(name),
            size,
            content: &mut content,
        })?;
        let unread = content.limit();
        self.offset += size - unread;
        self.bound()?;
        self.skip(unread + padding(size))
    }

    fn content(&mut self, length: u64) -> Result<Vec<u8>, KernelError> {
        let mut bytes = Vec::new();
        (&mut self.input)
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|source| unpack_error("the package", source))?;
        self.offset += bytes.len() as u64;
        self.bound()?;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<(), KernelError> {
        let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())
            .map_err(|source| unpack_error("the package", source))?;
        self.offset += skipped;
        if skipped < length {
            return Err(self.damaged("the archive ends within a file"));
        }
        self.bound()
    }

    fn bound(&self) -> Result<(), KernelError> {
        if self.offset > ARCHIVE_MAX_BYTES {
            return Err(KernelError::TooLarge {
                what: "the package's content".to_owned(),
                limit: ARCHIVE_MAX_BYTES,
            });
        }
        Ok(())
    }

    fn damaged(&self, why: &str) -> KernelError {
        KernelError::Archive {
            offset: self.offset,
            why: why.to_owned(),
        }
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// A field up to its first NUL. Names that are not UTF-8 cannot be of interest and may be mangled.
fn text(field: &[u8]) -> String {
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(|c| c == ' ' || c == '\0'), 8).ok()
}

fn unpack_error(what: &str, source: io::Error) -> KernelError {
    KernelError::Decompress {
        what: what.to_owned(),
        source,
    }
}
