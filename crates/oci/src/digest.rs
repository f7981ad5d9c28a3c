//! Names of content: `sha256:` and 64 hexadecimal digits.

use std::fmt::{self, Write as _};
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of some content, as image formats write it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Refusal of a text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It does not have the form of a digest.
    #[error("\"{text}\" is no digest: sha256: and 64 hexadecimal digits are expected")]
    NotADigest {
        /// The text, cut where it is long.
        text: String,
    },
    /// It is one, of an algorithm that is not computed here.
    #[error(
        "digests of the algorithm {algorithm} are not supported, only sha256: make the image again with that, for example with \
         `skopeo copy`"
    )]
    Algorithm {
        /// The algorithm.
        algorithm: String,
    },
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that a hash came to.
    pub fn of_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The 64 digits alone: the name of a blob's file in an image layout.
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bad = || match algorithm(text) {
            Some(algorithm) => DigestError::Algorithm {
                algorithm: algorithm.to_owned(),
            },
            None => DigestError::NotADigest {
                text: text.chars().take(100).collect(),
            },
        };
        let digits = text.strip_prefix("sha256:").ok_or_else(bad)?.as_bytes();
        if digits.len() != 64 {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0]).ok_or_else(bad)? << 4 | nibble(pair[1]).ok_or_else(bad)?;
        }
        Ok(Self(bytes))
    }
}

/// The algorithm of a digest that is right and not computed here (OCI image specification, "Registered algorithms").
fn algorithm(text: &str) -> Option<&str> {
    let (algorithm, digits) = text.split_once(':')?;
    let expected = match algorithm {
        "sha512" => 128,
        "blake3" => 64,
        _ => return None,
    };
    let is_right = digits.len() == expected && digits.bytes().all(|digit| nibble(digit).is_some());
    is_right.then_some(algorithm)
}

/// One digit; upper case is refused, as the specification asks.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reader that keeps the digest and the length of the bytes that it passes on.
pub(crate) struct Hashing<R> {
    inner: R,
    state: Sha256,
    len: u64,
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            state: Sha256::new(),
            len: 0,
        }
    }

    /// Reads the rest, so that the digest covers everything.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((Digest(self.state.finalize().into()), self.len))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.state.update(&buffer[..len]);
        self.len += len as u64;
        Ok(len)
    }
}

/// The digest of bytes that come one piece after the other.
#[derive(Default)]
pub(crate) struct Gathered(Sha256);

impl Gathered {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_written_as_it_is_read() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        for bad in [
            "",
            "sha256:",
            "sha512:00",
            &EMPTY[..70],
            &upper,
            "sha256:../../../../etc/passwd",
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_of_another_algorithm_is_called_so() {
        let text = format!("sha512:{}", "0".repeat(128));
        let refused = text.parse::<Digest>().unwrap_err().to_string();
        assert!(
            refused.starts_with("digests of the algorithm sha512 are not supported"),
            "{refused}"
        );
    }

    #[test]
    fn the_digest_of_a_stream_counts_what_the_reader_left() {
        let mut hashing = Hashing::new(&b"hello world"[..]);
        let mut some = [0; 5];
        hashing.read_exact(&mut some).unwrap();
        assert_eq!(hashing.finish().unwrap(), (Digest::of(b"hello world"), 11));
    }
}
