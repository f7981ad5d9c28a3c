//! Certificates for registries, from the folders of the user's container tools: `certs.d/HOST[:PORT]/`
//! (containers-certs.d(5); Docker's "Verify repository client with certificates").
//!
//! ```text
//! XDG_CONFIG_HOME/containers/certs.d ─► /etc/containers/certs.d ─► /etc/docker/certs.d       the first with such a folder
//! in it:  *.crt    authorities, trusted for this registry beside the host's own
//!         *.cert + *.key   client certificate, sent when the registry asks for one
//! ```
//! The host's own authorities are those of its other programs (`SSL_CERT_FILE`, `SSL_CERT_DIR`, `/etc/ssl/certs`).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder, Identity};

use crate::error::CertificateError;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Most files of one registry's folder.
const MAX_FILES: usize = 64;

/// Folders that may have a folder for a registry, in search order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFolders {
    folders: Vec<PathBuf>,
}

/// Certificates for one registry.
#[derive(Default)]
pub(crate) struct HostCertificates {
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
}

impl CertificateFolders {
    /// Uses these folders, in this order.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// Folders of the user with this environment, then the machine's.
    pub fn of_environment(var: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let dir = |name: &str| {
            var(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let config = dir("XDG_CONFIG_HOME").or_else(|| Some(dir("HOME")?.join(".config")));
        let own = config.map(|config| config.join("containers/certs.d"));
        let machine = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        Self::new(own.into_iter().chain(machine).collect())
    }

    /// The folders, in search order.
    pub fn paths(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Certificates for `host[:port]`. It comes from a checked reference and so is a single path component.
    pub(crate) fn of(&self, host: &str) -> Result<HostCertificates, CertificateError> {
        for folder in &self.folders {
            let folder = folder.join(host);
            match fs::read_dir(&folder) {
                Ok(entries) => return read(&folder, entries),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(source) => {
                    return Err(CertificateError::Read {
                        path: folder,
                        source,
                    });
                }
            }
        }
        Ok(HostCertificates::default())
    }
}

impl HostCertificates {
    pub(crate) fn apply(self, builder: ClientBuilder) -> ClientBuilder {
        let builder = self
            .authorities
            .into_iter()
            .fold(builder, ClientBuilder::add_root_certificate);
        match self.identity {
            Some(identity) => builder.identity(identity),
            None => builder,
        }
    }
}

fn read(folder: &Path, entries: fs::ReadDir) -> Result<HostCertificates, CertificateError> {
    let mut paths = Vec::new();
    for entry in entries.take(MAX_FILES + 1) {
        let entry = entry.map_err(|source| CertificateError::Read {
            path: folder.to_path_buf(),
            source,
        })?;
        paths.push(entry.path());
    }
    if paths.len() > MAX_FILES {
        return Err(CertificateError::TooMany {
            path: folder.to_path_buf(),
            limit: MAX_FILES,
        });
    }
    paths.sort();
    let mut found = HostCertificates::default();
    for path in &paths {
        let unusable = |source| CertificateError::Unusable {
            path: path.clone(),
            source,
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => {
                let pem = content(path)?;
                let bundle = Certificate::from_pem_bundle(&pem).map_err(unusable)?;
                if bundle.is_empty() {
                    return Err(CertificateError::Empty { path: path.clone() });
                }
                found.authorities.extend(bundle);
            }
            Some("cert") if found.identity.is_none() => {
                let key = path.with_extension("key");
                if !key.exists() {
                    return Err(CertificateError::NoKey { path: path.clone() });
                }
                let both = [content(path)?, b"\n".to_vec(), content(&key)?].concat();
                found.identity = Some(Identity::from_pem(&both).map_err(unusable)?);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn content(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |source| CertificateError::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    match bytes.len() as u64 <= MAX_FILE {
        true => Ok(bytes),
        false => Err(failed(io::ErrorKind::FileTooLarge.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &[u8])]) -> Result<HostCertificates, CertificateError> {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("r.example:5000");
        fs::create_dir(&host).unwrap();
        for (name, bytes) in files {
            fs::write(host.join(name), bytes).unwrap();
        }
        let absent = dir.path().join("absent");
        CertificateFolders::new(vec![absent, dir.path().to_path_buf()]).of("r.example:5000")
    }

    #[test]
    fn a_registry_without_a_folder_has_no_certificates_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let folders = CertificateFolders::new(vec![dir.path().to_path_buf()]);
        assert!(folders.of("r.example").unwrap().authorities.is_empty());
        assert!(of(&[("readme.txt", b"x")]).unwrap().authorities.is_empty());
    }

    #[test]
    fn what_is_broken_is_said_with_its_file() {
        let pem: &[u8] = b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n";
        let large = vec![b'#'; 1 + usize::try_from(MAX_FILE).unwrap()];
        for (files, part) in [
            (&[("ca.crt", pem)][..], "ca.crt"),
            (&[("ca.crt", b"".as_slice())][..], "no certificate"),
            (&[("ca.crt", large.as_slice())][..], "ca.crt"),
            (&[("client.cert", pem)][..], "client.key"),
            (
                &[("client.cert", pem), ("client.key", pem)][..],
                "client.cert",
            ),
        ] {
            match of(files) {
                Err(error) => assert!(error.to_string().contains(part), "{error}"),
                Ok(_) => panic!("{part} was accepted"),
            }
        }
        let many: Vec<String> = (0..=MAX_FILES).map(|n| format!("{n}.crt")).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|n| (n.as_str(), &b""[..])).collect();
        assert!(matches!(of(&many), Err(CertificateError::TooMany { .. })));
    }

    #[test]
    fn the_user_s_folder_comes_before_the_machine_s() {
        let var = |name: &str| (name == "HOME").then(|| "/home/u".into());
        let expected = [
            "/home/u/.config/containers/certs.d",
            "/etc/containers/certs.d",
            "/etc/docker/certs.d",
        ];
        let folders = CertificateFolders::of_environment(&var);
        assert_eq!(folders.paths(), expected.map(PathBuf::from));
    }
}
