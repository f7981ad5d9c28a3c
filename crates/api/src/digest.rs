//! Digests of content: what images and kernels are told apart by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Algorithm of every digest.
const ALGORITHM: &str = "sha256:";

/// Digest of an image's or a kernel's files (SHA-256). It is also the name of their directory, so nothing but 64 hexadecimal
/// digits is ever one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest([u8; 32]);

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("digest \"{given}\" is not valid: use 64 hexadecimal digits, after \"sha256:\" or alone")]
pub struct InvalidDigest {
    given: String,
}

impl ContentDigest {
    /// Stands in for the digest of files that are not made yet, and for one that cannot be read. No files have it.
    pub const UNKNOWN: Self = Self([0; 32]);

    /// The digest with its algorithm, as users and container tools write it: `sha256:…`.
    pub fn with_algorithm(&self) -> String {
        format!("{ALGORITHM}{self}")
    }
}

impl FromStr for ContentDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest {
            given: text.chars().take(80).collect(),
        };
        let digits = text.strip_prefix(ALGORITHM).unwrap_or(text).as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(invalid());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (digit(pair[0]), digit(pair[1]));
            let (Some(high), Some(low)) = (high, low) else {
                return Err(invalid());
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// Value of a lower-case hexadecimal digit: the name of a directory is written in one way only.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl From<[u8; 32]> for ContentDigest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_with_and_without_its_algorithm_and_written_without() {
        let digits = "dca84beec4b65206e42bde96eea7ede8a6c6e0f725d45485e35301a27a56d66f";
        let digest: ContentDigest = digits.parse().unwrap();
        assert_eq!(format!("sha256:{digits}").parse(), Ok(digest));
        assert_eq!(digest.to_string(), digits);
        assert_eq!(digest.with_algorithm(), format!("sha256:{digits}"));
        assert_eq!(serde_json::to_value(digest).unwrap(), digits);
    }

    #[test]
    fn nothing_that_leads_out_of_a_directory_is_a_digest() {
        let long = "../".repeat(21) + "x";
        for text in [
            "",
            "..",
            long.as_str(),
            &"A".repeat(64),
            &"0".repeat(63),
            &"é".repeat(32),
            "sha256:",
            "sha512:00",
        ] {
            assert!(text.parse::<ContentDigest>().is_err(), "{text}");
        }
    }
}
