//! The daemon and this program.

use banger_api::ByteSize;
use banger_api::operation::LoggedOperation;
use banger_api::system::{DaemonStatus, Resources};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, span};
use crate::output::table::Table;
use crate::output::width::Cut;

/// All about the daemon.
#[derive(Debug, Serialize)]
pub struct Daemon {
    #[serde(flatten)]
    status: DaemonStatus,
    /// It is an older build than this program.
    older_build: bool,
}

impl Daemon {
    /// With how its build stands to this program's.
    pub fn new(status: DaemonStatus, older_build: bool) -> Self {
        Self {
            status,
            older_build,
        }
    }

    fn waiting(&self) -> Option<String> {
        let this = self
            .older_build
            .then_some("it is an older build than this banger");
        let other = self
            .status
            .waiting_build
            .as_ref()
            .map(|_| "a newer build waits to take over");
        other.or(this).map(str::to_owned)
    }
}

impl Render for Daemon {
    fn text(&self, page: &mut Page) {
        let daemon = &self.status;
        let under_way = daemon
            .activity
            .as_ref()
            .map(|activity| match activity.is_empty() {
                true => "nothing".to_owned(),
                false => activity.named().join(", "),
            });
        page.fields([
            ("pid", Some(daemon.pid.to_string())),
            ("version", Some(daemon.version.clone())),
            ("build", Some(daemon.build.clone())),
            ("socket", Some(daemon.socket.clone())),
            ("uptime", Some(span(daemon.uptime_s))),
            ("running VMs", Some(daemon.running_vms.to_string())),
            ("memory", Some(ByteSize(daemon.memory_bytes).to_string())),
            ("under way", under_way),
            ("replacement", self.waiting()),
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

/// Things of banger on this host.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Owned(pub Resources);

impl Render for Owned {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&["KIND", "ID", "CLAIMED BY", "PATH"])
            .cut("ID", Cut::Middle)
            .cut("CLAIMED BY", Cut::Middle)
            .cut("PATH", Cut::Middle);
        for resource in &self.0.resources {
            table.row([
                resource.kind.clone(),
                resource.id.clone(),
                resource
                    .claimed_by
                    .clone()
                    .unwrap_or_else(|| "nothing".to_owned()),
                resource.path.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        page.table(&table);
    }
}

/// History of an operation, step by step.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Log(pub Vec<LoggedOperation>);

impl Render for Log {
    fn text(&self, page: &mut Page) {
        for logged in &self.0 {
            let operation = &logged.operation;
            let state = operation.state;
            let vm = logged.vm_name.as_deref().unwrap_or("-");
            page.line(format!(
                "{}  {}  {vm}  {state}",
                operation.started_at, operation.kind
            ));
            if let Some(error) = &operation.error {
                page.line(format!(
                    "  because: {}",
                    error.message.replace('\n', "\n           ")
                ));
            }
            for step in &logged.steps {
                let took = step.us.map(|us| format!("{:.1} ms", us as f64 / 1_000.0));
                let took = took.unwrap_or_else(|| "-".to_owned());
                page.line(format!("  {:18} {:9} {took:>12}", step.step, step.state));
                if let Some(error) = &step.error {
                    page.line(format!("      {}", error.replace('\n', "\n      ")));
                }
            }
        }
    }
}
