//! The `ar` container, as much of it as deb(5) allows: short names, decimal sizes, even padding.

use std::io::{self, Read, Take};

use crate::error::KernelError;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_BYTES: usize = 60;
/// A package has three members; signatures and the like may come before the data.
const MEMBERS_MAX: usize = 16;

pub(super) struct Archive<R> {
    input: Take<R>,
    padding: bool,
    members: usize,
}

pub(super) struct Member {
    pub(super) name: String,
}

impl<R: Read> Archive<R> {
    pub(super) fn open(mut input: R) -> Result<Self, KernelError> {
        let mut magic = [0; 8];
        let read = read_full(&mut input, &mut magic)?;
        if read != magic.len() || magic != *MAGIC {
            return Err(KernelError::NotAKernelPackage(
                "it is no ar archive".to_owned(),
            ));
        }
        Ok(Self {
            input: input.take(0),
            padding: false,
            members: 0,
        })
    }

    /// Steps to the next member, over what is left of the current one.
    pub(super) fn next(&mut self) -> Result<Option<Member>, KernelError> {
        let left = self.input.limit();
        let skipped = io::copy(&mut self.input, &mut io::sink()).map_err(damaged)?;
        if skipped < left {
            return Err(KernelError::NotAKernelPackage("it is cut short".to_owned()));
        }
        self.input
            .set_limit(HEADER_BYTES as u64 + u64::from(self.padding));
        if self.padding {
            read_full(&mut self.input, &mut [0])?;
        }
        let mut header = [0; HEADER_BYTES];
        match read_full(&mut self.input, &mut header)? {
            0 => return Ok(None),
            HEADER_BYTES if header[58..] == *b"`\n" => {}
            _ => {
                return Err(KernelError::NotAKernelPackage(
                    "an ar header is damaged".to_owned(),
                ));
            }
        }
        self.members += 1;
        if self.members > MEMBERS_MAX {
            return Err(KernelError::TooLarge {
                what: "the number of ar members".to_owned(),
                limit: MEMBERS_MAX as u64,
            });
        }
        let field = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&header[range])
                .trim_end()
                .to_owned()
        };
        let size: u64 = field(48..58)
            .parse()
            .map_err(|source: std::num::ParseIntError| {
                KernelError::NotAKernelPackage(format!(
                    "an ar member has the size `{}` ({source})",
                    field(48..58)
                ))
            })?;
        self.input.set_limit(size);
        self.padding = size % 2 == 1;
        Ok(Some(Member {
            name: field(0..16).trim_end_matches('/').to_owned(),
        }))
    }

    /// The content of the current member.
    pub(super) fn content(&mut self) -> &mut impl Read {
        &mut self.input
    }
}

fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, KernelError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(error)),
        }
    }
    Ok(filled)
}

fn damaged(source: io::Error) -> KernelError {
    KernelError::Decompress {
        what: "the package".to_owned(),
        source,
    }
}
