//! SSH to guests.

use std::path::PathBuf;

use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;

/// Place of the configuration of OpenSSH's client, and whether the user's own includes it.
#[derive(Debug, Serialize)]
pub struct SshConfig {
    /// The configuration.
    pub path: PathBuf,
    /// Line that includes it in another one.
    pub include_line: String,
    /// The user's own has this line.
    pub installed: bool,
}

impl Render for SshConfig {
    fn text(&self, page: &mut Page) {
        page.line(self.include_line.clone());
    }
}
