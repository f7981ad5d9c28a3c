//! Knowledge of a service that is started again, kept in the guest's `/run`.

use std::io;
use std::os::unix::fs::OpenOptionsExt;

use banger_guest::{Door, Relay, RunningInit};
use serde::{Deserialize, Serialize};

use crate::guest_state::Defaults;

const PATH: &str = "/run/banger/state.json";

/// The remembered state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The program that is PID 1.
    pub init: RunningInit,
    /// Defaults of commands.
    #[serde(flatten)]
    pub defaults: Defaults,
    /// Published ports.
    #[serde(default)]
    pub relays: Vec<Relay>,
    /// The way for the host to all other servers.
    #[serde(default)]
    pub door: Option<Door>,
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

#[cfg(test)]
mod tests {
    use banger_formats::Golden;

    use super::*;

    fn example() -> State {
        let path = |path: &str| path.parse().ok();
        State {
            init: RunningInit::Systemd,
            defaults: Defaults {
                env: [("LANG".to_owned(), "C.UTF-8".to_owned())].into(),
                cwd: path("/srv"),
                user: Some("me".to_owned()),
                entrypoint: vec!["/entry".to_owned()],
                cmd: vec!["serve".to_owned()],
            },
            relays: vec![Relay {
                listen: "10.0.2.15:65535".parse().unwrap(),
                from: "10.0.2.2".parse().unwrap(),
                port: 80,
            }],
            door: Some(Door {
                listen: "10.0.2.15:65534".parse().unwrap(),
                from: "10.0.2.2".parse().unwrap(),
            }),
        }
    }

    #[test]
    fn the_stored_form_is_that_of_the_newest_golden_file() {
        let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(golden.holds("state.json", &example()), Ok(()));
    }

    #[test]
    fn what_older_builds_wrote_is_read() {
        let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
        let state: State = golden.read(1, "state.json");
        assert_eq!(state.init, RunningInit::Systemd);
        assert_eq!(state.defaults.user.as_deref(), Some("me"));
        assert_eq!(state.relays, example().relays);
        assert_eq!(state.door, None);
        let state: State = golden.read(2, "state.json");
        assert_eq!(state.door, example().door);
        // As a guest of that build had it.
        let seen: State = golden.read(1, "state-seen.json");
        assert_eq!((seen.init, seen.defaults.user), (RunningInit::Agent, None));
        assert_eq!(seen.defaults.env["LANG"], "C.UTF-8");
    }
}
