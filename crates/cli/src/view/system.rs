//! The daemon and this program.

use banger_api::ByteSize;
use banger_api::system::DaemonStatus;
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, span};

/// All about the daemon.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Daemon(pub DaemonStatus);

impl Render for Daemon {
    fn text(&self, page: &mut Page) {
        let daemon = &self.0;
        page.fields([
            ("pid", Some(daemon.pid.to_string())),
            ("version", Some(daemon.version.clone())),
            ("build", Some(daemon.build.clone())),
            ("socket", Some(daemon.socket.clone())),
            ("uptime", Some(span(daemon.uptime_s))),
            ("running VMs", Some(daemon.running_vms.to_string())),
            ("memory", Some(ByteSize(daemon.memory_bytes).to_string())),
        ]);
    }
}

/// The version of this program.
#[derive(Debug, Serialize)]
pub struct Version {
    /// Its version.
    pub version: &'static str,
    /// The build, which tells a daemon of another one.
    pub build: String,
}

impl Render for Version {
    fn text(&self, page: &mut Page) {
        page.line(format!("banger {}", self.version));
    }
}
