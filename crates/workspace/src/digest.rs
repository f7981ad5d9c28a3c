//! Digests of files as the record has them.

use std::fs::File;
use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use crate::error::WorkspaceError;
use crate::survey::as_path;

/// SHA-256 of all that a file holds from here on, in hexadecimal digits.
pub(crate) fn of(mut file: File, path: &[u8]) -> Result<String, WorkspaceError> {
    let mut digest = Digesting(Sha256::new());
    io::copy(&mut file, &mut digest).map_err(WorkspaceError::file("read", as_path(path)))?;
    Ok(banger_durable::hex(&digest.0.finalize()))
}

/// SHA-256 of bytes, in hexadecimal digits.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    banger_durable::hex(&Sha256::digest(bytes))
}

struct Digesting(Sha256);

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
