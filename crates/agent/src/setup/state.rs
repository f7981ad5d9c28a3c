//! What a service that is started again must know, kept in the guest's `/run`.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use banger_guest::{GuestPath, RunningInit};
use serde::{Deserialize, Serialize};

use crate::guest::Defaults;

const PATH: &str = "/run/banger/state.json";

/// The remembered state.
#[derive(Debug, Clone)]
pub struct State {
    /// Who is PID 1.
    pub init: RunningInit,
    /// Defaults of commands.
    pub defaults: Defaults,
}

#[derive(Serialize, Deserialize)]
struct Form {
    init: RunningInit,
    env: BTreeMap<String, String>,
    cwd: Option<GuestPath>,
}

/// Remembers.
///
/// # Errors
/// When `/run/banger` cannot be written.
pub fn save(state: &State) -> io::Result<()> {
    let form = Form {
        init: state.init,
        env: state.defaults.env.clone(),
        cwd: state.defaults.cwd.clone(),
    };
    // The environment may hold secrets.
    let file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(PATH)?;
    serde_json::to_writer(file, &form).map_err(io::Error::other)
}

/// Recalls; `None` before the first [`save`].
#[must_use]
pub fn load() -> Option<State> {
    let form: Form = serde_json::from_slice(&std::fs::read(PATH).ok()?).ok()?;
    Some(State {
        init: form.init,
        defaults: Defaults {
            env: form.env,
            cwd: form.cwd,
        },
    })
}
