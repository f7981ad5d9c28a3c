//! Kernels.

use banger_api::ByteSize;
use banger_api::kernel::Kernel;
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, age};
use crate::output::table::Table;
use crate::output::width::Cut;

/// All kernels, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct List(pub Vec<Kernel>);

impl Render for List {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&[
            "NAME", "VERSION", "SIZE", "MODULES", "VMS", "DEFAULT", "AGE", "SOURCE",
        ])
        .cut("NAME", Cut::Middle)
        .cut("SOURCE", Cut::Middle);
        for kernel in &self.0 {
            table.row([
                kernel.name.to_string(),
                kernel.version.clone(),
                ByteSize(kernel.image_bytes).to_string(),
                kernel.modules.len().to_string(),
                kernel.used_by.to_string(),
                if kernel.default { "yes" } else { "" }.to_owned(),
                age(kernel.created_at, page.now()),
                match &kernel.error {
                    Some(error) => error.clone(),
                    None => kernel.source.clone(),
                },
            ]);
        }
        page.table(&table);
    }
}

/// All about one kernel.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Whole(pub Kernel);

impl Render for Whole {
    fn text(&self, page: &mut Page) {
        let kernel = &self.0;
        let modules = kernel.modules.join(" ");
        page.fields([
            ("name", Some(kernel.name.to_string())),
            ("version", Some(kernel.version.clone())),
            ("digest", Some(kernel.digest.clone())),
            ("source", Some(kernel.source.clone())),
            ("error", kernel.error.clone()),
            ("size", Some(ByteSize(kernel.image_bytes).to_string())),
            ("modules", (!modules.is_empty()).then_some(modules)),
            ("VMs", Some(kernel.used_by.to_string())),
            ("default", kernel.default.then(|| "yes".to_owned())),
            ("created", Some(kernel.created_at.to_string())),
        ]);
    }
}

/// A kernel that was imported: its name is enough.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Made(pub Kernel);

impl Render for Made {
    fn text(&self, page: &mut Page) {
        page.line(self.0.name.as_str());
    }
}
