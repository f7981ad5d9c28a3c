//! An image's configuration: its platform, its command, and the digests of its unpacked layers.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::manifest::{DocumentError, MAX_LAYERS, Platform};

/// Configuration of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// The platform that it is made for.
    pub platform: Platform,
    /// Time of its making, as it claims.
    pub created: Option<String>,
    /// Environment: name and value.
    pub env: Vec<(String, String)>,
    /// `user[:group]`, by name or number; empty means root.
    pub user: String,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// The program that always runs, before the command.
    pub entrypoint: Vec<String>,
    /// The command, or the arguments of the entry point.
    pub cmd: Vec<String>,
    /// Signal that asks it to stop, such as `SIGTERM`.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Ports it listens on, such as `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// Digests of the unpacked layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// Steps of its making, oldest first.
    pub history: Vec<HistoryStep>,
}

/// One step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct HistoryStep {
    /// Time of the step.
    #[serde(default)]
    pub created: Option<String>,
    /// The command.
    #[serde(default)]
    pub created_by: Option<String>,
    /// True when it made no layer.
    #[serde(default, deserialize_with = "null")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// The command line that the image starts: entry point, then command. Empty when it has none.
    pub fn command_line(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.cmd).cloned().collect()
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// It is broken or lists more layers than the limit.
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
        let run = raw.config;
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
            env: run.env.into_iter().map(variable).collect(),
            user: run.user,
            working_dir: run.working_dir,
            entrypoint: run.entrypoint.into(),
            cmd: run.cmd.into(),
            stop_signal: run.stop_signal,
            labels: run
                .labels
                .into_iter()
                .map(|(name, value)| (name, value.unwrap_or_default()))
                .collect(),
            exposed_ports: run.exposed_ports.into(),
            diff_ids: parsed.map_err(|source| DocumentError::Digest { what: WHAT, source })?,
            history: raw.history,
        })
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default, deserialize_with = "null")]
    architecture: String,
    #[serde(default, deserialize_with = "null")]
    os: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default, deserialize_with = "null")]
    config: RawRun,
    rootfs: RawRootfs,
    #[serde(default, deserialize_with = "null")]
    history: Vec<HistoryStep>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(deserialize_with = "null")]
    diff_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawRun {
    #[serde(deserialize_with = "null")]
    user: String,
    #[serde(deserialize_with = "null")]
    env: Vec<String>,
    #[serde(deserialize_with = "null")]
    entrypoint: Words,
    #[serde(deserialize_with = "null")]
    cmd: Words,
    #[serde(deserialize_with = "null")]
    working_dir: String,
    stop_signal: Option<String>,
    #[serde(deserialize_with = "null")]
    labels: BTreeMap<String, Option<String>>,
    #[serde(deserialize_with = "null")]
    exposed_ports: Ports,
}

/// A command, as a list or, as Docker takes it as well, as one word.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Many(Vec<String>),
    One(String),
}

impl Default for Words {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<Words> for Vec<String> {
    fn from(words: Words) -> Self {
        match words {
            Words::Many(words) => words,
            Words::One(word) => vec![word],
        }
    }
}

/// Ports, as the keys of a map or, as some tools write them, as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ports {
    Map(BTreeMap<String, serde_json::Value>),
    List(Vec<String>),
}

impl Default for Ports {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl From<Ports> for Vec<String> {
    fn from(ports: Ports) -> Self {
        match ports {
            Ports::Map(ports) => ports.into_keys().collect(),
            Ports::List(ports) => ports,
        }
    }
}

/// Reads null as an unset value, as Go writes it.
pub(crate) fn null<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
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
        let nulls = br#"{"architecture":null,"os":null,"config":{"User":null,"Env":null,"Cmd":null,"Labels":{"a":null}},
            "rootfs":{"diff_ids":null},"history":[{"created":null,"empty_layer":null}]}"#;
        let config = ImageConfig::parse(nulls).unwrap();
        assert!(config.command_line().is_empty() && config.diff_ids.is_empty());
        assert_eq!(config.labels["a"], "");
        let none = br#"{"config":null,"rootfs":{"diff_ids":[]},"history":null}"#;
        assert!(ImageConfig::parse(none).unwrap().history.is_empty());
    }

    #[test]
    fn words_and_lists_are_taken_where_docker_takes_them() {
        let text = br#"{"config":{"Entrypoint":"/bin/sh","Cmd":"echo hi","ExposedPorts":["80/tcp"],"Volumes":["/data"]},
            "rootfs":{"diff_ids":[]}}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!(config.command_line(), ["/bin/sh", "echo hi"]);
        assert_eq!(config.exposed_ports, ["80/tcp"]);
    }
}
