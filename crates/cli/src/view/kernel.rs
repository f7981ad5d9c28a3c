//! Kernels.

use banger_api::ByteSize;
use banger_api::kernel::{GuestModules, Kernel};
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
        let left_out = kernel.guest_modules.as_ref().and_then(left_out);
        page.fields([
            ("name", Some(kernel.name.to_string())),
            ("version", Some(kernel.version.clone())),
            ("digest", Some(kernel.digest.clone())),
            ("source", Some(kernel.source.clone())),
            ("error", kernel.error.clone()),
            ("size", Some(ByteSize(kernel.image_bytes).to_string())),
            ("modules", guest_modules(kernel)),
            ("left out", left_out),
            ("at boot", (!modules.is_empty()).then_some(modules)),
            ("VMs", Some(kernel.used_by.to_string())),
            ("default", kernel.default.then(|| "yes".to_owned())),
            ("created", Some(kernel.created_at.to_string())),
        ]);
    }
}

/// The modules that guests find, or why there are none: a kernel that has some for its initramfs had all of them once.
fn guest_modules(kernel: &Kernel) -> Option<String> {
    match &kernel.guest_modules {
        Some(modules) => {
            let (count, size) = (modules.count, ByteSize(modules.bytes));
            Some(format!("{count} in /lib/modules/{}, {size} shared by its VMs", kernel.version))
        }
        None if kernel.modules.is_empty() => None,
        None => Some(
            "only those of the boot: it was imported before banger kept the others. Import it again under another name \
             (banger kernel import --name NAME …) for VMs that need them"
                .to_owned(),
        ),
    }
}

fn left_out(modules: &GuestModules) -> Option<String> {
    let folders = modules.left_out_folders.join(", ");
    (modules.left_out > 0).then(|| {
        format!(
            "{} modules ({folders}, and what needs them); import with --all-modules to keep them",
            modules.left_out
        )
    })
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
