//! An image's configuration: what it runs on, how it is started, and what its layers unpack to.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::manifest::{DocumentError, MAX_LAYERS, Platform};

/// What an image says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// What it is made for.
    pub platform: Platform,
    /// When it was made, as it says.
    pub created: Option<String>,
    /// Environment: name and value.
    pub env: Vec<(String, String)>,
    /// `user[:group]`, by name or number; empty means root.
    pub user: String,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// What is always run, before the command.
    pub entrypoint: Vec<String>,
    /// What is run, or the arguments of the entry point.
    pub cmd: Vec<String>,
    /// Signal that asks it to stop, such as `SIGTERM`.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Ports it listens on, such as `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// Digests of the unpacked layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// How it was made, oldest step first.
    pub history: Vec<HistoryStep>,
}

/// One step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct HistoryStep {
    /// When.
    #[serde(default)]
    pub created: Option<String>,
    /// The command.
    #[serde(default)]
    pub created_by: Option<String>,
    /// Whether it made no layer.
    #[serde(default)]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// The command line that the image starts: entry point, then command. Empty when it says none.
    pub fn command_line(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.cmd).cloned().collect()
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// When it is broken or lists more layers than are taken.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        const WHAT: &str = "configuration";
        let raw: Raw = serde_json::from_slice(bytes)
            .map_err(|source| DocumentError::Json { what: WHAT, source })?;
        let diff_ids = raw.rootfs.diff_ids;
        if diff_ids.len() > MAX_LAYERS {
            return Err(DocumentError::TooMany {
                what: WHAT,
                of: "layers",
                count: diff_ids.len(),
                limit: MAX_LAYERS,
            });
        }
        let parsed: Result<Vec<Digest>, _> = diff_ids.iter().map(|digest| digest.parse()).collect();
        let run = raw.config.unwrap_or_default();
        let variable = |entry: String| match entry.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (entry, String::new()),
        };
        Ok(Self {
            platform: Platform {
                architecture: raw.architecture,
                os: raw.os,
                variant: raw.variant,
            },
            created: raw.created,
            env: run
                .env
                .unwrap_or_default()
                .into_iter()
                .map(variable)
                .collect(),
            user: run.user.unwrap_or_default(),
            working_dir: run.working_dir.unwrap_or_default(),
            entrypoint: run.entrypoint.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            stop_signal: run.stop_signal,
            labels: run.labels.unwrap_or_default(),
            exposed_ports: run.exposed_ports.unwrap_or_default().into_keys().collect(),
            diff_ids: parsed.map_err(|source| DocumentError::Digest { what: WHAT, source })?,
            history: raw.history.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    config: Option<RawRun>,
    rootfs: RawRootfs,
    #[serde(default)]
    history: Option<Vec<HistoryStep>>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Vec<String>,
}

/// Docker writes null for what is not set.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRun {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
    #[serde(default)]
    working_dir: Option<String>,
    #[serde(default)]
    stop_signal: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_tool_writes_is_understood() {
        let digest = Digest::of(b"");
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","created":"2026-01-01T00:00:00Z",
            "config":{{"User":"1000:100","Env":["PATH=/usr/bin:/bin","A=b=c","BARE"],"Entrypoint":["/init"],"Cmd":["sh"],
            "WorkingDir":"/srv","Labels":null,"ExposedPorts":{{"80/tcp":{{}}}},"StopSignal":"SIGINT"}},
            "rootfs":{{"type":"layers","diff_ids":["{digest}"]}},"history":[{{"created_by":"COPY","empty_layer":true}}]}}"#
        );
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.command_line(), ["/init", "sh"]);
        assert_eq!(config.env[1], ("A".to_owned(), "b=c".to_owned()));
        assert_eq!(config.env[2], ("BARE".to_owned(), String::new()));
        assert_eq!(
            (config.user.as_str(), config.working_dir.as_str()),
            ("1000:100", "/srv")
        );
        assert_eq!(config.exposed_ports, ["80/tcp"]);
        assert_eq!(config.diff_ids, [digest]);
        assert!(config.history[0].empty_layer);
    }

    #[test]
    fn a_configuration_without_layers_or_with_nulls_is_judged() {
        assert!(ImageConfig::parse(b"{}").is_err());
        let nulls = br#"{"config":{"Env":null,"Cmd":null},"rootfs":{"diff_ids":[]}}"#;
        assert!(ImageConfig::parse(nulls).unwrap().command_line().is_empty());
    }
}
