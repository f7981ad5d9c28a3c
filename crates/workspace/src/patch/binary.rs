//! The lines of `GIT binary patch` (git, diff.c emit_binary_diff_body, apply.c parse_binary_hunk).
//!
//! Two blocks, forward and backward, each `literal SIZE` or `delta SIZE`, then lines of a length letter (A–Z for 1 to
//! 26 bytes, a–z for 27 to 52) and that many bytes in base 85, then an empty line. The bytes are deflated. SIZE is
//! their inflated length. The inflated bytes of a literal are the file. Those of a delta hold the size of the file that
//! it makes (gitformat-pack(5)); two bytes of a delta can make a megabyte.

use flate2::{Decompress, FlushDecompress};

use super::base85;
use super::header::number;

/// Bytes at the beginning of a delta that hold both sizes: two numbers of at most 10 bytes.
const SIZES: usize = 20;
/// Deflated bytes that are looked at for them: a stream may begin with tables.
const MAX_DEFLATED: usize = 4096;

/// A block that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// A whole file of this many bytes.
    Literal(u64),
    /// A delta; of its deflated bytes those that were read.
    Delta(Vec<u8>),
}

impl Block {
    /// From the line that begins it.
    pub(super) fn begin(line: &[u8]) -> Option<Self> {
        let literal = line.strip_prefix(b"literal ");
        let (size, rest) = number(literal.or_else(|| line.strip_prefix(b"delta "))?)?;
        let block = match literal {
            Some(_) => Self::Literal(size),
            None => Self::Delta(Vec::new()),
        };
        rest.is_empty().then_some(block)
    }

    /// A line of its content; `false`: it is none.
    pub(super) fn line(&mut self, line: &[u8]) -> bool {
        let Some((length, digits)) = line.split_first() else {
            return false;
        };
        let bytes = match length {
            b'A'..=b'Z' => usize::from(length - b'A') + 1,
            b'a'..=b'z' => usize::from(length - b'a') + 27,
            _ => return false,
        };
        let fits = digits.len() == bytes.div_ceil(4) * 5;
        if !fits || !digits.iter().all(|byte| base85::is_digit(*byte)) {
            return false;
        }
        match self {
            Self::Delta(begun) if begun.len() < MAX_DEFLATED => {
                let decoded = base85::decode(digits, bytes);
                let is_some = decoded.is_some();
                begun.extend(decoded.unwrap_or_default());
                is_some
            }
            _ => true,
        }
    }

    /// Bytes of the file that it makes; `None`: that cannot be told.
    pub(super) fn makes(&self) -> Option<u64> {
        match self {
            Self::Literal(size) => Some(*size),
            Self::Delta(deflated) => {
                let begun = inflate(deflated)?;
                let (_before, rest) = varint(&begun)?;
                varint(rest).map(|(after, _)| after)
            }
        }
    }
}

/// The first bytes of a deflated stream.
fn inflate(deflated: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(SIZES);
    let mut stream = Decompress::new(true);
    let inflated = stream.decompress_vec(deflated, &mut bytes, FlushDecompress::None);
    inflated.is_ok().then_some(bytes)
}

/// A number of a delta: seven bits a byte, the lowest first.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    for (n, byte) in bytes.iter().enumerate() {
        let shift = u32::try_from(n).ok()?.checked_mul(7)?;
        let bits = u64::from(byte & 0x7f);
        let moved = bits.checked_shl(shift)?;
        if moved >> shift != bits {
            return None;
        }
        value |= moved;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[n + 1..]));
        }
    }
    None
}
