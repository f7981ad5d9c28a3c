//! Debian packages (deb(5)): an `ar` archive whose member `data.tar.*` holds the files.
//!
//! Only what a kernel package needs is read: plain files, in one pass, with every size bounded.

mod ar;
mod tar;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::decompress::Compression;
use crate::error::KernelError;

pub(crate) use tar::TarFile;

const READ_BUFFER: usize = 256 << 10;

/// Calls `visit` with each plain file of the package, in the package's order. `visit` reads as much as it wants.
///
/// # Errors
/// The file cannot be read, is no Debian package, is damaged or too large, or what `visit` returns.
pub(crate) fn walk(
    package: &Path,
    visit: &mut dyn FnMut(&mut TarFile<'_>) -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    let file = File::open(package).map_err(|source| KernelError::io("open", package, source))?;
    let mut archive = ar::Archive::open(BufReader::with_capacity(READ_BUFFER, file))?;
    let Some(version) = archive.next()? else {
        return Err(KernelError::NotAKernelPackage(
            "the ar archive is empty".to_owned(),
        ));
    };
    if version.name != "debian-binary" {
        return Err(KernelError::NotAKernelPackage(format!(
            "its first member is `{}`, not `debian-binary`",
            version.name
        )));
    }
    while let Some(member) = archive.next()? {
        if let Some(suffix) = member.name.strip_prefix("data.tar") {
            let mut content = BufReader::with_capacity(READ_BUFFER, archive.content());
            return tar::walk(reader(suffix, &mut content)?, visit);
        }
    }
    Err(KernelError::NotAKernelPackage(
        "it has no member `data.tar`".to_owned(),
    ))
}

fn reader<'r>(
    suffix: &str,
    content: &'r mut impl io::BufRead,
) -> Result<Box<dyn Read + 'r>, KernelError> {
    let compression = match suffix {
        "" => return Ok(Box::new(content)),
        ".gz" => Compression::Gzip,
        ".xz" => Compression::Xz,
        ".zst" => Compression::Zstd,
        other => {
            return Err(KernelError::NotAKernelPackage(format!(
                "its data is packed as `{other}`"
            )));
        }
    };
    let damaged = |source| KernelError::Decompress {
        what: format!("data.tar{suffix}"),
        source,
    };
    compression.reader(content).map_err(damaged)
}

#[cfg(test)]
mod tests;
