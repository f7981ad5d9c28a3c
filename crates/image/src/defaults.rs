//! Default command of an image and its surroundings, from the image's own configuration.

use banger_oci::ImageConfig;
use serde::{Deserialize, Serialize};

/// Environment, user, directory and command from an image's configuration; all empty for a root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDefaults {
    /// `NAME=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// `user[:group]`, by name or number; empty means root.
    #[serde(default)]
    pub user: String,
    /// Working directory; empty when the image sets none.
    #[serde(default)]
    pub working_dir: String,
    /// Program and arguments that always run, before the command.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// The default command, or the arguments of the entry point.
    #[serde(default)]
    pub cmd: Vec<String>,
    /// Signal that asks its command to stop, such as `SIGTERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
}

impl RunDefaults {
    /// Tells whether the image sets none of them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The variables, by name and value; of equal names the last one wins.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env
            .iter()
            .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
    }
}

impl From<&ImageConfig> for RunDefaults {
    fn from(config: &ImageConfig) -> Self {
        Self {
            env: config
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            stop_signal: config.stop_signal.clone(),
        }
    }
}
