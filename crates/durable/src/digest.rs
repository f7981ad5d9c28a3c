//! SHA-256 in the form `sha256:…` that every description uses.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Read between two cancel checks.
const STEP_BYTES: usize = 1 << 20;

/// The digest of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    named(&Sha256::digest(bytes))
}

/// The digest of a file's content, holes included; `None` when `cancel` answered `true` on the way.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_file(path: &Path, cancel: &dyn Fn() -> bool) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; STEP_BYTES]);
    loop {
        if cancel() {
            return Ok(None);
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(named(&hash.finalize()))),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The digest of a list of texts: no two lists have the same, wherever their texts are cut.
#[derive(Debug, Clone, Default)]
pub struct Sha256Parts(Sha256);

impl Sha256Parts {
    /// Adds one text, which must not hold a NUL.
    pub fn add(&mut self, part: &str) {
        self.0.update(part.as_bytes());
        self.0.update([0]);
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> String {
        named(&self.0.finalize())
    }
}

fn named(digest: &[u8]) -> String {
    format!("sha256:{}", hex(digest))
}

/// Bytes in lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(sha256(b"abc"), OF_ABC);
        assert_eq!(
            sha256_file(file.path(), &|| false).unwrap().as_deref(),
            Some(OF_ABC)
        );
        assert_eq!(sha256_file(file.path(), &|| true).unwrap(), None);
    }

    #[test]
    fn where_parts_are_cut_matters() {
        let of = |parts: &[&str]| {
            let mut digest = Sha256Parts::default();
            parts.iter().for_each(|part| digest.add(part));
            digest.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
    }
}
