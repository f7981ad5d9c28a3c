//! The lines of `GIT binary patch` (git, diff.c emit_binary_diff_body, apply.c parse_binary_hunk).
//!
//! Two blocks, forward and backward, each `literal SIZE` or `delta SIZE`, then lines of a length letter (A–Z for 1 to
//! 26 bytes, a–z for 27 to 52) and that many bytes in base 85, then an empty line.

use super::header::number;

/// The declared size of a block, in bytes.
pub(super) fn block(line: &[u8]) -> Option<u64> {
    let rest = line
        .strip_prefix(b"literal ")
        .or_else(|| line.strip_prefix(b"delta "))?;
    let (size, rest) = number(rest)?;
    rest.is_empty().then_some(size)
}

/// Whether a line is one of content.
pub(super) fn is_content(line: &[u8]) -> bool {
    let Some((length, digits)) = line.split_first() else {
        return false;
    };
    let bytes = match length {
        b'A'..=b'Z' => usize::from(length - b'A') + 1,
        b'a'..=b'z' => usize::from(length - b'a') + 27,
        _ => return false,
    };
    digits.len() == bytes.div_ceil(4) * 5 && digits.iter().all(|byte| is_digit(*byte))
}

/// git's base 85 (git, base85.c).
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&()*+-;<=>?@^_`{|}~".contains(&byte)
}
