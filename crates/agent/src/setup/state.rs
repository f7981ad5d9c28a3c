//! What a service that is started again must know, kept in the guest's `/run`.

use std::io;
use std::os::unix::fs::OpenOptionsExt;

use banger_guest::{Relay, RunningInit};
use serde::{Deserialize, Serialize};

use crate::guest::Defaults;

const PATH: &str = "/run/banger/state.json";

/// The remembered state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Who is PID 1.
    pub init: RunningInit,
    /// Defaults of commands.
    #[serde(flatten)]
    pub defaults: Defaults,
    /// Published ports.
    #[serde(default)]
    pub relays: Vec<Relay>,
}

/// Remembers.
///
/// # Errors
/// When `/run/banger` cannot be written.
pub fn save(state: &State) -> io::Result<()> {
    // The environment may hold secrets.
    let file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(PATH)?;
    serde_json::to_writer(file, state).map_err(io::Error::other)
}

/// Recalls; `None` before the first [`save`].
#[must_use]
pub fn load() -> Option<State> {
    serde_json::from_slice(&std::fs::read(PATH).ok()?).ok()
}
