//! Authorities that guests are to trust, as `[guest] ca_certificates` says: those of this host, or those of a file.
//!
//! ```text
//!  "host"    the host's bundle ───────────────────► trusted
//!            folders of its administrator ─ in it ─► added
//!  a path    a file of PEM, or a folder of them ──► both
//! ```
//!
//! Read at each start of a guest, since an administrator changes them at any time.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ByteSize, ErrorCode};
use banger_authorities::{Certificate, read_pem};
use banger_guest::Authorities;
use banger_guest::limits::{MAX_AUTHORITIES, MAX_AUTHORITIES_BYTES};
use serde::Deserialize;

/// Bundles, in the order in which they are looked for: of Debian, Alpine and Arch; of Fedora; of openSUSE; of OpenSSL itself.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Folders in which an administrator puts authorities: of Debian and Alpine, of Fedora, of openSUSE, of Arch.
const ADDED: [&str; 4] = [
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/pki/trust/anchors",
    "/etc/ca-certificates/trust-source/anchors",
];
/// Largest file that is read, bytes.
const FILE_MAX: u64 = 4 << 20;
/// Files of folders that are read.
const FILES_MAX: usize = 1000;
/// Folders within folders.
const DEPTH_MAX: usize = 4;

/// `ca_certificates` of `[guest]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum CaCertificates {
    /// Guests trust what their images do.
    #[default]
    Image,
    /// Those of this host, too.
    Host,
    /// Those of a file or folder, too; absolute, or below `~/`.
    Of(PathBuf),
}

impl TryFrom<String> for CaCertificates {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "image" => Ok(Self::Image),
            "host" => Ok(Self::Host),
            path if path.starts_with('/') || path.starts_with("~/") => Ok(Self::Of(path.into())),
            _ => Err(format!(
                "ca_certificates \"{text}\" is not known: use image, host, or the path of a file of certificates (/… or ~/…)"
            )),
        }
    }
}

impl CaCertificates {
    /// With `~` led to `home`.
    ///
    /// # Errors
    /// There is no home.
    pub(crate) fn in_home(self, home: Option<&Path>) -> Result<Self, ApiError> {
        let Self::Of(path) = &self else {
            return Ok(self);
        };
        match (path.strip_prefix("~"), home) {
            (Err(_), _) => Ok(self),
            (Ok(rest), Some(home)) => Ok(Self::Of(home.join(rest))),
            (Ok(_), None) => Err(ApiError::new(
                ErrorCode::InvalidArgument,
                format!(
                    "guest.ca_certificates \"{}\" is below a home, and HOME is not set",
                    path.display()
                ),
            )),
        }
    }

    /// The certificates as they are now; `None` when guests are to trust what their images do.
    ///
    /// # Errors
    /// There are none, they cannot be read, or they are more than a guest is given.
    pub(crate) fn read(&self) -> Result<Option<Authorities>, ApiError> {
        let found = match self {
            Self::Image => return Ok(None),
            Self::Host => of_host(Path::new("/")),
            Self::Of(path) => of_path(path),
        };
        found.map(Some).map_err(|cause| {
            ApiError::new(
                ErrorCode::HostNotReady,
                format!("cannot give the guest CA certificates: {cause}"),
            )
            .hint("without [guest] ca_certificates in banger's configuration a guest trusts what its image does")
        })
    }
}

/// Certificates in DER of the authorities that this host trusts, for connections that banger makes for a guest: those of the file that
/// `SSL_CERT_FILE` names, as other programs take it, or the host's bundle.
///
/// # Errors
/// There are none, or they cannot be read.
pub(crate) fn of_this_host() -> Result<Vec<Vec<u8>>, ApiError> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let bundles = || BUNDLES.into_iter().map(PathBuf::from);
    let file = named.or_else(|| bundles().find(|path| path.is_file()));
    let found = file
        .ok_or(Missing::NoBundle)
        .and_then(|path| read_file(&path));
    let found = found.map_err(|cause| {
        let message = format!("the authorities that this host trusts cannot be read: {cause}");
        ApiError::new(ErrorCode::HostNotReady, message).hint(
            "they come with the host's package ca-certificates; SSL_CERT_FILE names another file",
        )
    })?;
    Ok(found.into_iter().map(Certificate::into_der).collect())
}

/// Reason why there are none.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("this host has no bundle of them at {}", BUNDLES.join(", "))]
    NoBundle,
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has none (PEM, \"BEGIN CERTIFICATE\")", path.display())]
    Empty { path: PathBuf },
    #[error("{} has more than {MAX_AUTHORITIES} of them, or more than {} in all", path.display(), ByteSize(MAX_AUTHORITIES_BYTES as u64))]
    TooMany { path: PathBuf },
}

/// Those of the host whose root is there.
fn of_host(root: &Path) -> Result<Authorities, Missing> {
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    let bundle = BUNDLES.into_iter().map(inside).find(|path| path.is_file());
    let bundle = bundle.ok_or(Missing::NoBundle)?;
    let trusted = read_file(&bundle)?;
    let known: HashSet<&Certificate> = trusted.iter().collect();
    let mut added = Vec::new();
    for folder in ADDED.into_iter().map(inside) {
        match fs::metadata(&folder) {
            Ok(found) if found.is_dir() => added.extend(read_folder(&folder)?),
            _ => {}
        }
    }
    // What lies there and is not in the bundle the host itself does not trust (yet).
    added.retain(|one| known.contains(one));
    packed(&bundle, &trusted, added)
}

fn of_path(path: &Path) -> Result<Authorities, Missing> {
    let trusted = match path.is_dir() {
        true => read_folder(path)?,
        false => read_file(path)?,
    };
    let added = trusted.clone();
    packed(path, &trusted, added)
}

fn packed(
    path: &Path,
    trusted: &[Certificate],
    mut added: Vec<Certificate>,
) -> Result<Authorities, Missing> {
    let path = || path.to_path_buf();
    if trusted.is_empty() {
        return Err(Missing::Empty { path: path() });
    }
    let mut seen = HashSet::new();
    added.retain(|one| seen.insert(one.clone()));
    let text = |list: &[Certificate]| list.iter().map(Certificate::pem).collect::<String>();
    let authorities = Authorities {
        trusted: text(trusted),
        added: text(&added),
    };
    let bytes = authorities.trusted.len() + authorities.added.len();
    if trusted.len() > MAX_AUTHORITIES || bytes > MAX_AUTHORITIES_BYTES {
        return Err(Missing::TooMany { path: path() });
    }
    Ok(authorities)
}

fn read_file(path: &Path) -> Result<Vec<Certificate>, Missing> {
    let read = || {
        // A pipe in its place would be waited for.
        let found = fs::metadata(path)?;
        if !found.is_file() {
            return Err(io::Error::other("is no file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_MAX + 1)
            .read_to_end(&mut bytes)?;
        match bytes.len() as u64 > FILE_MAX {
            true => Err(io::Error::other(format!(
                "larger than {}",
                ByteSize(FILE_MAX)
            ))),
            false => Ok(bytes),
        }
    };
    let bytes = read().map_err(|source| Missing::Read {
        path: path.to_path_buf(),
        source,
    })?;
    // One more than may be, so that too many are seen to be.
    let found = read_pem(&bytes, MAX_AUTHORITIES + 1);
    if found.unreadable > 0 {
        tracing::warn!(path = %path.display(), unreadable = found.unreadable, "certificates that cannot be read");
    }
    Ok(found.certificates)
}

/// Those of all files in a folder, whatever their names; links are followed.
fn read_folder(folder: &Path) -> Result<Vec<Certificate>, Missing> {
    let failed = |path: &Path, source| Missing::Read {
        path: path.to_path_buf(),
        source,
    };
    let (mut ahead, mut files) = (vec![(folder.to_path_buf(), 0)], Vec::new());
    while let Some((folder, depth)) = ahead.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let path = entry.map_err(|error| failed(&folder, error))?.path();
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() && depth < DEPTH_MAX => ahead.push((path, depth + 1)),
                Ok(found) if found.is_file() && found.len() <= FILE_MAX => files.push(path),
                _ => {}
            }
            if files.len() + ahead.len() > FILES_MAX {
                return Err(failed(
                    &folder,
                    io::Error::other(format!("has more than {FILES_MAX} files")),
                ));
            }
        }
    }
    files.sort();
    let mut found: Vec<Certificate> = Vec::new();
    for file in &files {
        found.extend(read_file(file)?);
    }
    let mut seen = HashSet::new();
    found.retain(|one| seen.insert(one.clone()));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = include_str!("../../authorities/tests/names.pem");
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

    fn pems() -> Vec<String> {
        let found = read_pem(NAMES.as_bytes(), 100).certificates;
        found.iter().map(Certificate::pem).collect()
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn of_a_host_all_are_trusted_and_those_of_its_administrator_are_told_apart() {
        let (root, pems) = (tempfile::tempdir().unwrap(), pems());
        put(
            root.path(),
            "etc/ssl/certs/ca-certificates.crt",
            &pems[..3].concat(),
        );
        put(
            root.path(),
            "usr/local/share/ca-certificates/company/a.crt",
            &format!("{KEY}{}", pems[1]),
        );
        // Not in the bundle: not trusted by the host's own programs either.
        put(
            root.path(),
            "usr/local/share/ca-certificates/new.crt",
            &pems[5],
        );
        let found = of_host(root.path()).unwrap();
        assert_eq!(found.trusted, pems[..3].concat());
        assert_eq!(found.added, pems[1]);
    }

    #[test]
    fn a_file_or_folder_of_ones_own_counts_as_added_and_no_key_leaves_it() {
        let (root, pems) = (tempfile::tempdir().unwrap(), pems());
        put(root.path(), "a.pem", &format!("{KEY}{}", pems[0]));
        put(root.path(), "b.pem", &pems[..2].concat());
        put(root.path(), "notes", "none");
        let one = of_path(&root.path().join("a.pem")).unwrap();
        assert_eq!((&one.trusted, &one.added), (&pems[0], &pems[0]));
        let both = of_path(root.path()).unwrap();
        assert_eq!(both.trusted, pems[..2].concat());
    }

    #[test]
    fn what_cannot_be_given_is_an_error_with_its_place() {
        let root = tempfile::tempdir().unwrap();
        let told = |found: Result<Authorities, Missing>| found.unwrap_err().to_string();
        let none = told(of_host(root.path()));
        assert!(none.contains("/etc/pki/tls/certs/ca-bundle.crt"), "{none}");
        put(root.path(), "empty.pem", KEY);
        let empty = told(of_path(&root.path().join("empty.pem")));
        assert!(empty.contains("empty.pem has none"), "{empty}");
        let large = File::create(root.path().join("large.pem")).unwrap();
        large.set_len(FILE_MAX + 1).unwrap();
        let large = told(of_path(&root.path().join("large.pem")));
        assert!(large.contains("larger than"), "{large}");
        let absent = CaCertificates::Of("/absent.pem".into()).read().unwrap_err();
        assert!(absent.message.contains("/absent.pem"), "{absent}");
        assert!(absent.hint.unwrap().contains("ca_certificates"));
    }

    #[test]
    fn a_value_is_a_word_or_a_path() {
        let of = |text: &str| CaCertificates::try_from(text.to_owned());
        assert_eq!(of("image").unwrap(), CaCertificates::Image);
        assert_eq!(of("host").unwrap(), CaCertificates::Host);
        let below = of("~/ca.pem").unwrap();
        assert_eq!(
            below.clone().in_home(Some(Path::new("/home/ann"))).unwrap(),
            CaCertificates::Of("/home/ann/ca.pem".into())
        );
        assert!(below.in_home(None).is_err());
        for odd in ["", "ca.pem", "hosts"] {
            assert!(of(odd).unwrap_err().contains("use image, host"), "{odd}");
        }
        assert_eq!(CaCertificates::Image.read().unwrap(), None);
    }
}
