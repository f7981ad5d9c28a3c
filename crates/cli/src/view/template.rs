//! Templates.

use banger_api::ByteSize;
use banger_api::template::{PrunedTemplates, Template};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, age};
use crate::output::table::Table;
use crate::output::width::Cut;

/// Digits of a key that tell templates apart.
const SHORT: usize = 12;

/// All templates, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct List(pub Vec<Template>);

impl Render for List {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&["KEY", "KERNEL", "CPUS", "MEMORY", "SIZE", "USED", "AGE"])
            .cut("KERNEL", Cut::Middle);
        for template in &self.0 {
            table.row([
                template.key.chars().take(SHORT).collect(),
                template.kernel.clone(),
                template.vcpu.to_string(),
                ByteSize::mib(u64::from(template.memory_mib)).to_string(),
                ByteSize(template.bytes).to_string(),
                age(template.used_at, page.now()),
                age(template.created_at, page.now()),
            ]);
        }
        page.table(&table);
    }
}

/// Templates that a prune removed, or would remove.
#[derive(Debug, Serialize)]
pub struct Prune<'a> {
    /// The templates.
    pub templates: &'a [Template],
    /// Bytes of disk that they take.
    pub freed_bytes: u64,
    /// Nothing was removed.
    pub dry_run: bool,
}

impl<'a> Prune<'a> {
    /// Of this answer.
    pub fn new(pruned: &'a PrunedTemplates, dry_run: bool) -> Self {
        Self {
            templates: &pruned.templates,
            freed_bytes: pruned.freed_bytes,
            dry_run,
        }
    }
}

impl Render for Prune<'_> {
    fn text(&self, page: &mut Page) {
        for template in self.templates {
            page.line(&template.key);
        }
    }
}
