//! Words about the jails of VMMs: the wanted one, the recorded one, and the one that this host can give.

use std::path::PathBuf;

use banger_jail::{JailError, Layers};
use serde::{Deserialize, Serialize};

/// Longest recorded cause, bytes.
const CAUSE_MAX_BYTES: usize = 512;

/// The wanted jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JailMode {
    /// Every layer that the host gives.
    #[default]
    Auto,
    /// Every layer; without one of them no VMM starts.
    Require,
    /// None but those of every process: no capability, no new privilege, limits.
    Off,
}

/// The jail of one VMM, as it was made when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailRecord {
    /// Its layers.
    pub layers: Layers,
    /// Cause of the first layer that is missing although it was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// Directory of its control group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<PathBuf>,
}

/// The jail that this host gives.
#[derive(Debug)]
pub struct JailTrial {
    /// Its layers.
    pub layers: Layers,
    /// Missing ones: the error, and the setting to change where it is known.
    pub missing: Vec<(JailError, Option<&'static str>)>,
}

impl JailTrial {
    pub(crate) fn of(mut enter: impl FnMut(Layers) -> Result<Layers, JailError>) -> Self {
        let mut wanted = Layers::FULL;
        let mut missing = Vec::new();
        loop {
            let error = match enter(wanted) {
                Ok(layers) => return Self { layers, missing },
                Err(error) => error,
            };
            let less = wanted.without(&error);
            let fix = error.layer().and_then(banger_jail::hint);
            missing.push((error, fix));
            match less {
                Some(less) => wanted = less,
                None => {
                    let layers = Layers::NONE;
                    return Self { layers, missing };
                }
            }
        }
    }
}

/// The error with its causes in one line.
pub(crate) fn told(error: &JailError) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let end = text.floor_char_boundary(CAUSE_MAX_BYTES);
    text.truncate(end);
    text
}
