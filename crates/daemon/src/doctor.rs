//! `doctor`: what banger needs from this host, and what it found.
//!
//! ```text
//! host_checks   need no daemon: the client makes them, and so does the daemon (its PATH may be another)
//! of_daemon     what only the daemon knows: its store
//! mend          what can be put right without root and without loss
//! ```

mod engine;
mod host;
mod mend;
mod places;
mod programs;
mod stock;
mod store;

use banger_api::doctor::{Check, Report};

pub use mend::{Mended, mend};
pub use stock::{Missing, missing};

use crate::config::Config;
use crate::context::Daemon;
use crate::paths::Paths;

/// Everything that can be seen without a daemon, in a fixed order. Nothing is made or changed.
pub fn host_checks(paths: &Paths) -> Vec<Check> {
    let (config, config_check) = config(paths);
    let mut checks = engine::checks(config.vmm.jail);
    checks.push(config_check);
    checks.extend(places::checks(paths));
    checks.extend(stock::checks(paths, &config));
    checks.extend(programs::checks());
    checks.extend(host::checks(paths));
    checks
}

/// All checks of the daemon, in a fixed order.
pub(crate) fn doctor(daemon: &Daemon) -> Report {
    let mut checks = host_checks(&daemon.paths);
    checks.extend(store::checks(daemon));
    Report { checks }
}

fn config(paths: &Paths) -> (Config, Check) {
    let (name, path) = ("config", paths.config());
    match Config::load(path) {
        Ok(config) if path.exists() => {
            let check = Check::ok(name, format!("{} is valid", path.display()));
            (config, check)
        }
        Ok(config) => {
            let cause = format!("no {}: every setting has its default", path.display());
            (config, Check::ok(name, cause))
        }
        Err(error) => {
            let fix = error.hint.unwrap_or_else(|| "edit that line".to_owned());
            (Config::default(), Check::fail(name, error.message, fix))
        }
    }
}
