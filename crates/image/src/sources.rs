//! The host's package sources that are Debian's own archive for one release.
//!
//! banger has no built-in archive: images are built from the Debian sources that the host's administrator trusts, with
//! their mirrors and keys. All other sources of the host (vendors' repositories, other releases) stay out.
//!
//! A source counts as Debian's when its suite is the release or one of its companions, its components are Debian's, and
//! its address ends as Debian's archives do on every mirror (`…/debian`, `…/debian-security`).

mod parse;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ImageError;
use parse::Entry;

/// Largest file of sources that is read, in bytes; real ones have some hundred.
const FILE_MAX_BYTES: u64 = 1 << 20;
const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];
const ARCHIVES: [&str; 2] = ["debian", "debian-security"];

/// Sources of one release, ready for apt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DebianSources {
    entries: Vec<Entry>,
}

impl DebianSources {
    /// Finds them below `etc_apt` (`/etc/apt`).
    pub(crate) fn of_host(etc_apt: &Path, suite: &str) -> Result<Self, ImageError> {
        let mut entries = Vec::new();
        for file in files(etc_apt)? {
            let text = read(&file)?;
            let parsed = if file.extension().is_some_and(|kind| kind == "sources") {
                parse::deb822(&text)
            } else {
                parse::one_line(&text)
            };
            entries.extend(parsed);
        }
        let mut debian = Vec::new();
        for entry in entries {
            debian.extend(only_debian(with_mirrors(entry)?, suite));
        }
        if !debian
            .iter()
            .any(|entry| entry.suites.iter().any(|name| name == suite))
        {
            return Err(ImageError::NoDebianSources {
                suite: suite.to_owned(),
                folder: etc_apt.to_path_buf(),
            });
        }
        Ok(Self { entries: debian })
    }

    /// The sources in the deb822 form of sources.list(5).
    pub(crate) fn to_deb822(&self) -> String {
        let stanzas: Vec<_> = self.entries.iter().map(Entry::to_deb822).collect();
        stanzas.join("\n")
    }
}

/// Files of sources: `sources.list`, then `sources.list.d` by name, as apt reads them.
fn files(etc_apt: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let folder = etc_apt.join("sources.list.d");
    let mut files: Vec<_> = match fs::read_dir(&folder) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
    .map_err(|source| ImageError::io("list", &folder, source))?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|kind| kind == "list" || kind == "sources")
    });
    files.sort();
    let list = etc_apt.join("sources.list");
    if list.is_file() {
        files.insert(0, list);
    }
    Ok(files)
}

fn read(file: &Path) -> Result<String, ImageError> {
    let failed = |source| ImageError::io("read", file, source);
    let size = fs::metadata(file).map_err(failed)?.len();
    if size > FILE_MAX_BYTES {
        return Err(ImageError::TooLarge {
            what: file.display().to_string(),
            limit: FILE_MAX_BYTES,
        });
    }
    Ok(String::from_utf8_lossy(&fs::read(file).map_err(failed)?).into_owned())
}

/// Replaces a file of mirrors, as Debian's cloud images name one (`mirror+file:/etc/apt/mirrors/debian.list`,
/// apt-transport-mirror(1)), with its mirrors: the guest will not have that file.
fn with_mirrors(mut entry: Entry) -> Result<Entry, ImageError> {
    let mut uris = Vec::new();
    for uri in entry.uris {
        match uri.strip_prefix("mirror+file:") {
            Some(list) => {
                let text = read(Path::new(&format!("/{}", list.trim_start_matches('/'))))?;
                let mirrors = text
                    .lines()
                    .filter_map(|line| line.split_whitespace().next());
                uris.extend(
                    mirrors
                        .filter(|mirror| !mirror.starts_with('#'))
                        .map(str::to_owned),
                );
            }
            None => uris.push(uri),
        }
    }
    entry.uris = uris;
    Ok(entry)
}

/// The part of an entry that is Debian's archive of `suite`.
fn only_debian(mut entry: Entry, suite: &str) -> Option<Entry> {
    let companions = ["", "-updates", "-security"].map(|companion| format!("{suite}{companion}"));
    entry.suites.retain(|name| companions.contains(name));
    entry.uris.retain(|uri| {
        let archive = uri
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        ARCHIVES.contains(&archive)
    });
    let debian = entry
        .components
        .iter()
        .all(|name| COMPONENTS.contains(&name.as_str()));
    let main = entry.components.iter().any(|name| name == "main");
    (debian && main && !entry.suites.is_empty() && !entry.uris.is_empty()).then_some(entry)
}

#[cfg(test)]
mod tests;
