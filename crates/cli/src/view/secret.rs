//! Secrets, without their values.

use banger_api::secret::Secret;
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, age};
use crate::output::table::Table;
use crate::output::width::Cut;

/// All secrets, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct List(pub Vec<Secret>);

impl Render for List {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&["NAME", "AGE", "VMS"]).cut("VMS", Cut::End);
        for secret in &self.0 {
            let vms: Vec<&str> = secret.vms.iter().map(|vm| vm.as_str()).collect();
            table.row([
                secret.name.clone(),
                age(secret.updated_at, page.now()),
                vms.join(", "),
            ]);
        }
        page.table(&table);
    }
}

/// A secret that was kept.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Changed(pub Secret);

impl Render for Changed {
    fn text(&self, page: &mut Page) {
        page.line(&self.0.name);
    }
}
