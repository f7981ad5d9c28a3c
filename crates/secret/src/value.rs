//! Values of secrets in memory.

use std::fmt;

use zeroize::Zeroizing;

use crate::SecretError;

/// Longest value, bytes: with the rest of a request's head it is below the limits of usual servers.
pub const VALUE_MAX_BYTES: usize = 8 * 1024;

/// A secret's value: visible characters of ASCII, and blanks between them. Its memory is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes a value as it is.
    ///
    /// # Errors
    /// [`SecretError::Empty`], [`SecretError::TooLong`], [`SecretError::Character`].
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, SecretError> {
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(SecretError::Empty);
        };
        if bytes.len() > VALUE_MAX_BYTES {
            return Err(SecretError::TooLong {
                length: bytes.len(),
            });
        }
        let is_plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        match bytes.iter().all(is_plain) && *first != b' ' && *last != b' ' {
            true => Ok(Self(bytes)),
            false => Err(SecretError::Character),
        }
    }

    /// Takes what a user has written: a line end behind it is none of it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_input(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, SecretError> {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Self::new(bytes)
    }

    /// The bytes. Whoever copies them wipes the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<SecretValue, SecretError> {
        SecretValue::of_input(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_value_fits_into_one_field_and_is_printed_by_nothing() {
        assert_eq!(value("sk-123\n").unwrap().expose(), b"sk-123");
        assert_eq!(value("sk-123\r\n").unwrap().expose(), b"sk-123");
        assert_eq!(value("a b").unwrap().expose(), b"a b");
        for bad in ["", "\n", "a\nb", "a\r", " a", "a ", "a\0", "ä", "a\n\n"] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
        assert!(value(&"a".repeat(VALUE_MAX_BYTES)).is_ok());
        assert!(value(&"a".repeat(VALUE_MAX_BYTES + 1)).is_err());
        assert!(!format!("{:?}", value("sk-123").unwrap()).contains("123"));
    }
}
