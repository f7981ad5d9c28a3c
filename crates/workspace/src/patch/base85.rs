//! git's base 85 (git, base85.c): four bytes in five digits.

const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Tells whether a byte is a digit.
pub(super) fn is_digit(byte: u8) -> bool {
    DIGITS.contains(&byte)
}

/// The first `length` bytes of decoded digits; `None`: they are malformed.
pub(super) fn decode(digits: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 5 * 4);
    for five in digits.chunks(5) {
        let mut value: u32 = 0;
        for digit in five {
            let at = DIGITS.iter().position(|other| other == digit)?;
            value = value
                .checked_mul(85)?
                .checked_add(u32::try_from(at).ok()?)?;
        }
        bytes.extend(value.to_be_bytes());
    }
    bytes.truncate(length);
    (bytes.len() == length).then_some(bytes)
}
