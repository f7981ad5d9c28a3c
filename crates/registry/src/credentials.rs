//! The user's credentials, from the files of container tools.
//!
//! ```text
//! REGISTRY_AUTH_FILE ─► DOCKER_CONFIG/config.json ─► XDG_RUNTIME_DIR/containers/auth.json (or /run/containers/UID/)
//!   ─► XDG_CONFIG_HOME/containers/auth.json ─► ~/.docker/config.json          the first that knows the registry wins
//! in each:  credHelpers[registry] ─► auths[registry/name/space … registry] ─► credsStore
//! ```
//! The files' form: containers-auth.json(5), and the Docker command line's "Configuration files".

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_oci::Reference;
use banger_oci::reference::DEFAULT_REGISTRY;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::getuid;
use serde::Deserialize;

use crate::error::CredentialError;
use crate::helper::{self, Asking, HelperError};
use crate::secret::Credentials;

/// Largest file of credentials that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Files that may hold credentials, in search order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    files: Vec<PathBuf>,
    /// Folders in which helpers are searched; this process's own `PATH` when `None`.
    helper_path: Option<OsString>,
}

/// One file of credentials. A null counts as absent, as in the tools that write these files.
#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, Option<String>>>,
}

/// Answer of the credential files for one registry.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) credentials: Option<Credentials>,
    /// Names of helpers that are configured and not installed: public images can be pulled without them.
    pub(crate) missing: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity: Option<String>,
}

impl CredentialFiles {
    /// Uses these files, in this order.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            helper_path: None,
        }
    }

    /// Sets the search path of helpers: they are looked up in these folders, as in `PATH`, and run with it.
    #[must_use]
    pub fn helpers_on(mut self, path: Option<OsString>) -> Self {
        self.helper_path = path;
        self
    }

    /// The files that the environment names, present or not.
    pub fn of_environment(var: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let dir = |name: &str| {
            var(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = dir("HOME");
        let config = dir("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let below = |dir: Option<PathBuf>, name: &str| dir.map(|dir| dir.join(name));
        // Podman's place on hosts without a login session, above all for root.
        let own = format!("/run/containers/{}/auth.json", getuid());
        let files = [
            dir("REGISTRY_AUTH_FILE"),
            below(dir("DOCKER_CONFIG"), "config.json"),
            below(dir("XDG_RUNTIME_DIR"), "containers/auth.json").or_else(|| Some(own.into())),
            below(config, "containers/auth.json"),
            below(home, ".docker/config.json"),
        ];
        Self::new(files.into_iter().flatten().collect())
    }

    /// The files, in search order.
    pub fn paths(&self) -> &[PathBuf] {
        &self.files
    }

    /// Finds the user's credentials for the registry of `reference`. A helper may take until `deadline`.
    ///
    /// # Errors
    /// A file is broken, or a helper that is configured for the registry fails.
    pub(crate) async fn find(
        &self,
        reference: &Reference,
        deadline: Duration,
    ) -> Result<Found, CredentialError> {
        let mut missing = Vec::new();
        let asking = Asking {
            path: self.helper_path.as_deref(),
            deadline,
        };
        for path in &self.files {
            let Some(config) = read(path)? else {
                continue;
            };
            let found = config.find(path, reference, asking, &mut missing).await?;
            if found.is_some() {
                return Ok(Found {
                    credentials: found,
                    missing,
                });
            }
        }
        Ok(Found {
            credentials: None,
            missing,
        })
    }
}

fn read(path: &Path) -> Result<Option<Config>, CredentialError> {
    let failed = |source| CredentialError::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    if bytes.len() as u64 > MAX_FILE {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| CredentialError::Parse {
            path: path.to_path_buf(),
            source,
        })
}

impl Config {
    async fn find(
        &self,
        path: &Path,
        reference: &Reference,
        asking: Asking<'_>,
        missing: &mut Vec<String>,
    ) -> Result<Option<Credentials>, CredentialError> {
        let registry = reference.registry();
        let mut ask = async |name: &str, server: &str| {
            let helper = helper::program(name);
            match helper::get(name, server, asking).await {
                Ok(found) => Ok(found),
                Err(HelperError::Missing) => {
                    let path = path.display();
                    missing.push(format!("{helper}, which {path} names, is not on the PATH"));
                    Ok(None)
                }
                Err(HelperError::Failed(why)) => Err(CredentialError::Helper {
                    helper,
                    path: path.to_path_buf(),
                    server: server.to_owned(),
                    why,
                }),
            }
        };
        let named = |key: &str| self.helpers.as_ref()?.get(key)?.as_deref();
        for key in keys(registry, reference.repository()) {
            if let Some(name) = named(&key) {
                return ask(name, &key).await;
            }
            let entry = self
                .auths
                .iter()
                .flatten()
                .find(|(known, _)| key_of(known) == key_of(&key));
            if let Some((known, Some(entry))) = entry
                && let Some(found) = entry.credentials(path, known)?
            {
                return Ok(Some(found));
            }
        }
        match &self.store {
            Some(name) => {
                let server = keys(registry, "").pop().unwrap_or_default();
                ask(name, &server).await
            }
            None => Ok(None),
        }
    }
}

impl Entry {
    fn credentials(
        &self,
        path: &Path,
        registry: &str,
    ) -> Result<Option<Credentials>, CredentialError> {
        let full = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = full(&self.identity) {
            return Ok(Some(Credentials::Identity(token)));
        }
        if let Some(auth) = full(&self.auth) {
            let decoded = STANDARD
                .decode(auth.trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
            let Some((user, password)) = pair else {
                return Err(CredentialError::Entry {
                    path: path.to_path_buf(),
                    registry: registry.to_owned(),
                });
            };
            return Ok(Some(Credentials::Password {
                user: user.to_owned(),
                // Docker pads with zeros.
                password: password.trim_end_matches('\0').to_owned(),
            }));
        }
        Ok(full(&self.username)
            .zip(full(&self.password))
            .map(|(user, password)| Credentials::Password { user, password }))
    }
}

/// Possible names of an entry, most exact first: name spaces of the registry, the registry, and for the default
/// registry also the address of its version 1 API, under which Docker keeps the entry.
fn keys(registry: &str, repository: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = repository;
    while !rest.is_empty() {
        keys.push(format!("{registry}/{rest}"));
        rest = rest.rsplit_once('/').map_or("", |(space, _)| space);
    }
    keys.push(registry.to_owned());
    if registry == DEFAULT_REGISTRY {
        keys.push(format!("https://index.{DEFAULT_REGISTRY}/v1/"));
    }
    keys
}

/// Host of an entry; old entries are addresses: `https://host/v1/`.
fn key_of(key: &str) -> &str {
    let host = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    match host {
        Some(host) => host.split('/').next().unwrap_or(host),
        None => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(text: &str, reference: &str) -> Option<Credentials> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        CredentialFiles::new(vec![dir.path().join("absent"), path])
            .find(&reference.parse().unwrap(), helper::DEADLINE)
            .await
            .unwrap()
            .credentials
    }

    fn password(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    #[tokio::test]
    async fn the_most_exact_entry_wins() {
        let entry = |pair: &str| format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(pair));
        let text = format!(
            r#"{{"auths":{{"r.example":{},"r.example/team":{},"https://old.example/v1/":{}}}}}"#,
            entry("all:1"),
            entry("team:2:3"),
            entry("old:4")
        );
        assert_eq!(found(&text, "r.example/x").await, password("all", "1"));
        assert_eq!(
            found(&text, "r.example/team/x").await,
            password("team", "2:3")
        );
        assert_eq!(found(&text, "old.example/x").await, password("old", "4"));
        assert_eq!(found(&text, "other.example/x").await, None);
    }

    #[tokio::test]
    async fn the_default_registry_is_found_under_its_old_address() {
        let text = format!(
            r#"{{"auths":{{"https://index.{DEFAULT_REGISTRY}/v1/":{{"username":"u","password":"p"}}}}}}"#
        );
        assert_eq!(found(&text, "alpine").await, password("u", "p"));
    }

    #[tokio::test]
    async fn an_identity_token_is_known() {
        let text = r#"{"auths":{"r.example":{"auth":"","identitytoken":"t"}}}"#;
        let expected = Credentials::Identity("t".to_owned());
        assert_eq!(found(text, "r.example/x").await, Some(expected));
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_is_told_and_null_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let text = r#"{"credsStore":"desktop.exe","credHelpers":null,"auths":{"r.example":null}}"#;
        std::fs::write(&path, text).unwrap();
        let files = CredentialFiles::new(vec![path]).helpers_on(Some("/nowhere".into()));
        let reference = "r.example/x".parse().unwrap();
        let found = files.find(&reference, helper::DEADLINE).await.unwrap();
        assert_eq!(found.credentials, None);
        assert!(
            found.missing[0].starts_with("docker-credential-desktop.exe, which /"),
            "{:?}",
            found.missing
        );
    }

    #[tokio::test]
    async fn what_is_broken_is_said_and_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let files = CredentialFiles::new(vec![path.clone()]);
        let reference: Reference = "r.example/x".parse().unwrap();
        for (text, part) in [
            ("{", "cannot read credentials"),
            (r#"{"auths":{"r.example":{"auth":"%%"}}}"#, "base64"),
            (r#"{"credHelpers":{"r.example":"../evil"}}"#, "no name"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = files.find(&reference, helper::DEADLINE).await.unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let secret = Credentials::Identity("hidden".to_owned());
        assert!(!format!("{secret:?}").contains("hidden"));
    }

    #[test]
    fn the_environment_names_the_files_in_order() {
        let var = |name: &str| match name {
            "HOME" => Some("/home/u".into()),
            "REGISTRY_AUTH_FILE" => Some("/auth.json".into()),
            "DOCKER_CONFIG" => Some("relative".into()),
            _ => None,
        };
        let files = CredentialFiles::of_environment(&var);
        let own = format!("/run/containers/{}/auth.json", getuid());
        let expected = [
            "/auth.json",
            &own,
            "/home/u/.config/containers/auth.json",
            "/home/u/.docker/config.json",
        ];
        assert_eq!(files.paths(), expected.map(PathBuf::from));
        let var = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/run/user/7".into());
        let files = CredentialFiles::of_environment(&var);
        let expected = PathBuf::from("/run/user/7/containers/auth.json");
        assert_eq!(files.paths(), [expected]);
    }
}
