//! Commands that were left running in a guest.

use banger_api::ByteSize;
use banger_api::detached::DetachedCommand;
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;
use crate::output::table;
use crate::output::width::Cut;

/// One that was just started: its number.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Started(pub DetachedCommand);

impl Render for Started {
    fn text(&self, page: &mut Page) {
        page.line(self.0.id.to_string());
    }
}

/// All of them, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Table(pub Vec<DetachedCommand>);

impl Render for Table {
    fn text(&self, page: &mut Page) {
        let mut table =
            table::Table::new(&["ID", "STATE", "EXIT", "PID", "OUTPUT", "STARTED", "COMMAND"])
                .cut("COMMAND", Cut::End);
        for command in &self.0 {
            let more = if command.log_cut { "+" } else { "" };
            table.row([
                command.id.to_string(),
                command.state.as_str().to_owned(),
                command
                    .exit_code
                    .map(|code| code.to_string())
                    .unwrap_or_default(),
                command.pid.to_string(),
                format!("{}{more}", ByteSize(command.log_bytes)),
                command.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                command.argv.join(" "),
            ]);
        }
        page.table(&table);
    }
}
