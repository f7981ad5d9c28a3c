//! Bodies on their way: how much of the bytes is theirs, and how they are written for the other side.

use super::fields::Ends;

/// Longest line of a chunk's size with its extensions, and of all trailers together.
const LINE_MAX_BYTES: usize = 4096;
const TRAILERS_MAX_BYTES: usize = 16 * 1024;

/// A body that is not one any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// Form in which a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// In chunks.
    Chunks,
    /// As it is.
    Plain,
}

/// Place within a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunks {
    /// In the line of a size: the number so far, its digits, and the line's bytes.
    Size { size: u64, digits: u8, line: usize },
    /// Behind the CR that ends this line.
    SizeEnd(u64),
    /// Within the bytes of a chunk.
    Bytes(u64),
    /// Behind them.
    Behind { cr: bool },
    /// In the trailers: bytes of the present line, and of all.
    Trailers { line: usize, all: usize },
}

/// A body of which a part is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Done,
    Left(u64),
    Chunked(Chunks),
    UntilClose,
}

const SIZE: Chunks = Chunks::Size {
    size: 0,
    digits: 0,
    line: 0,
};

impl Body {
    /// None at all.
    pub(super) const NONE: Self = Self(Kind::Done);
    /// One that ends with the connection.
    pub(super) const UNTIL_CLOSE: Self = Self(Kind::UntilClose);

    /// One that ends so; without a word there is none.
    pub(super) fn of(ends: Ends) -> Self {
        Self(match ends {
            Ends::Unsaid | Ends::After(0) => Kind::Done,
            Ends::After(length) => Kind::Left(length),
            Ends::Chunked => Kind::Chunked(SIZE),
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.0 == Kind::Done
    }

    pub(super) fn is_until_close(&self) -> bool {
        self.0 == Kind::UntilClose
    }

    /// Ends with the connection.
    pub(super) fn close(&mut self) {
        self.0 = Kind::Done;
    }

    /// Takes bytes from the front, and writes what of them is the body's; answers with the number of bytes taken.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        written: Written,
        to: &mut Vec<u8>,
    ) -> Result<usize, Broken> {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_done() {
            let left = &bytes[taken..];
            taken += match self.0 {
                Kind::Done => 0,
                Kind::UntilClose => {
                    put(left, written, to);
                    left.len()
                }
                Kind::Left(length) => {
                    let count = smaller(length, left.len());
                    put(&left[..count], written, to);
                    self.0 = match length - count as u64 {
                        0 => Kind::Done,
                        length => Kind::Left(length),
                    };
                    count
                }
                Kind::Chunked(Chunks::Bytes(length)) => {
                    let count = smaller(length, left.len());
                    put(&left[..count], written, to);
                    self.0 = Kind::Chunked(match length - count as u64 {
                        0 => Chunks::Behind { cr: false },
                        length => Chunks::Bytes(length),
                    });
                    count
                }
                Kind::Chunked(at) => {
                    self.0 = match at.step(left[0])? {
                        Some(next) => Kind::Chunked(next),
                        None => {
                            if written == Written::Chunks {
                                to.extend_from_slice(b"0\r\n\r\n");
                            }
                            Kind::Done
                        }
                    };
                    1
                }
            };
        }
        Ok(taken)
    }
}

fn smaller(length: u64, bytes: usize) -> usize {
    usize::try_from(length).map_or(bytes, |length| length.min(bytes))
}

fn put(bytes: &[u8], written: Written, to: &mut Vec<u8>) {
    match written {
        Written::Plain => to.extend_from_slice(bytes),
        Written::Chunks => {
            to.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
            to.extend_from_slice(bytes);
            to.extend_from_slice(b"\r\n");
        }
    }
}

impl Chunks {
    /// The place behind one more byte that is none of a chunk's own; `None`: the body has ended.
    fn step(self, byte: u8) -> Result<Option<Self>, Broken> {
        Ok(Some(match (self, byte) {
            (Self::Size { digits: 0, .. }, b'\r' | b'\n' | b';' | b' ' | b'\t') => {
                return Err(Broken);
            }
            (Self::Size { size: 0, .. } | Self::SizeEnd(0), b'\n') => {
                Self::Trailers { line: 0, all: 0 }
            }
            (Self::Size { size, .. } | Self::SizeEnd(size), b'\n') => Self::Bytes(size),
            (Self::Size { size, .. }, b'\r') => Self::SizeEnd(size),
            (Self::SizeEnd(_), _) => return Err(Broken),
            (Self::Size { line, .. }, _) if line >= LINE_MAX_BYTES => return Err(Broken),
            // The number is over with the first byte that is no digit: extensions follow, or the line's end.
            (Self::Size { size, digits, line }, byte) if digits as usize == line => {
                match (byte as char).to_digit(16) {
                    Some(digit) if digits < 15 => Self::Size {
                        size: size << 4 | u64::from(digit),
                        digits: digits + 1,
                        line: line + 1,
                    },
                    None if matches!(byte, b';' | b' ' | b'\t') => Self::Size {
                        size,
                        digits,
                        line: line + 1,
                    },
                    _ => return Err(Broken),
                }
            }
            (Self::Size { size, digits, line }, _) => Self::Size {
                size,
                digits,
                line: line + 1,
            },
            (Self::Behind { cr: false }, b'\r') => Self::Behind { cr: true },
            (Self::Behind { .. }, b'\n') => SIZE,
            (Self::Behind { .. } | Self::Bytes(_), _) => return Err(Broken),
            // What trailers say is dropped: a field among them would be one that nobody has looked at.
            (Self::Trailers { line: 0, .. }, b'\n') => return Ok(None),
            (Self::Trailers { all, .. }, _) if all >= TRAILERS_MAX_BYTES => return Err(Broken),
            (Self::Trailers { all, .. }, b'\n') => Self::Trailers {
                line: 0,
                all: all + 1,
            },
            (Self::Trailers { line: 0, all }, b'\r') => Self::Trailers {
                line: 0,
                all: all + 1,
            },
            (Self::Trailers { line, all }, _) => Self::Trailers {
                line: line + 1,
                all: all + 1,
            },
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The body and what is behind it, taken in pieces of every size.
    fn carried(
        ends: Ends,
        text: &[u8],
        written: Written,
    ) -> Result<(Vec<u8>, usize, bool), Broken> {
        let mut results = Vec::new();
        for size in [1, 2, 3, 7, 1000] {
            let (mut body, mut to, mut at) = (Body::of(ends), Vec::new(), 0);
            for piece in text.chunks(size) {
                let taken = body.take(piece, Written::Plain, &mut to)?;
                at += taken;
                if taken < piece.len() {
                    break;
                }
            }
            results.push((to, at, body.is_done()));
        }
        assert!(
            results.windows(2).all(|two| two[0] == two[1]),
            "{results:?}"
        );
        let (mut body, mut to) = (Body::of(ends), Vec::new());
        let at = body.take(text, written, &mut to)?;
        Ok((to, at, body.is_done()))
    }

    #[test]
    fn a_body_ends_where_its_head_or_its_chunks_say() {
        let plain = |ends, text: &[u8]| carried(ends, text, Written::Plain);
        assert_eq!(plain(Ends::Unsaid, b"x"), Ok((vec![], 0, true)));
        assert_eq!(plain(Ends::After(2), b"abc"), Ok((b"ab".to_vec(), 2, true)));
        assert_eq!(
            plain(Ends::After(4), b"abc"),
            Ok((b"abc".to_vec(), 3, false))
        );
        let text = b"3;x=\"y\"\r\nabc\r\n00A \r\n0123456789\r\n0\r\nA: b\r\n\r\nNEXT";
        let end = text.len() - 4;
        assert_eq!(
            plain(Ends::Chunked, text),
            Ok((b"abc0123456789".to_vec(), end, true))
        );
        assert_eq!(
            carried(Ends::Chunked, text, Written::Chunks),
            Ok((
                b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n".to_vec(),
                end,
                true
            ))
        );
    }

    #[test]
    fn what_is_no_chunk_is_broken() {
        for text in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b"1\r\nab",
            b"1\r\na\rb",
            b"1\ra\n",
            b" 1\r\n",
            b"1111111111111111\r\n",
            &[&b"1;"[..], &[b'x'; 5000]].concat(),
            &[&b"0\r\n"[..], &b"a: b\r\n".repeat(4000)].concat(),
        ] {
            let mut body = Body::of(Ends::Chunked);
            let taken = body.take(text, Written::Plain, &mut Vec::new());
            assert_eq!(taken, Err(Broken), "{:.40?}", String::from_utf8_lossy(text));
        }
    }
}
