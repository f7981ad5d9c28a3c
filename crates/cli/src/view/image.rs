//! Images.

use banger_api::ByteSize;
use banger_api::image::{Image, ImageDetails, PrunedImages};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, age};
use crate::output::table::Table;
use crate::output::width::Cut;

/// All images, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct List(pub Vec<Image>);

impl Render for List {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&[
            "NAME", "INIT", "SIZE", "ON DISK", "SHARED", "SEED", "VMS", "AGE", "SOURCE",
        ])
        .cut("NAME", Cut::Middle)
        .cut("SOURCE", Cut::Middle);
        for image in &self.0 {
            table.row([
                image.name.to_string(),
                image.init.clone(),
                ByteSize(image.base_bytes).to_string(),
                ByteSize(image.allocated_bytes).to_string(),
                shared(image).unwrap_or_default(),
                image
                    .seed_bytes
                    .map(|bytes| ByteSize(bytes).to_string())
                    .unwrap_or_default(),
                image.used_by.to_string(),
                age(image.created_at, page.now()),
                match &image.error {
                    Some(error) => error.clone(),
                    None => image.source.clone(),
                },
            ]);
        }
        page.table(&table);
    }
}

/// All about one image.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Whole(pub Image);

impl Render for Whole {
    fn text(&self, page: &mut Page) {
        let image = &self.0;
        page.fields([
            ("name", Some(image.name.to_string())),
            ("digest", Some(image.digest.clone())),
            ("source", Some(image.source.clone())),
            ("error", image.error.clone()),
            ("init", Some(image.init.clone())),
            ("size", Some(ByteSize(image.base_bytes).to_string())),
            ("on disk", Some(ByteSize(image.allocated_bytes).to_string())),
            (
                "work seed",
                image.seed_bytes.map(|bytes| ByteSize(bytes).to_string()),
            ),
            ("shared", shared(image)),
            ("VMs", Some(users(image))),
            ("created", Some(image.created_at.to_string())),
        ]);
        if let Some(details) = &image.details {
            tell(details, page);
        }
    }
}

fn shared(image: &Image) -> Option<String> {
    (image.shared_bytes > 0).then(|| ByteSize(image.shared_bytes).to_string())
}

fn users(image: &Image) -> String {
    match &image.details {
        Some(details) if !details.vms.is_empty() => details.vms.join(", "),
        _ => image.used_by.to_string(),
    }
}

fn tell(details: &ImageDetails, page: &mut Page) {
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let words = |words: &[String]| (!words.is_empty()).then(|| words.join(" "));
    let run = &details.run;
    page.fields([
        ("base", Some(details.base_digest.clone())),
        ("files", details.entries.map(|count| count.to_string())),
        ("seed", details.seed_digest.clone()),
        ("environment", words(&run.env)),
        ("user", said(&run.user)),
        ("directory", said(&run.working_dir)),
        ("entry point", words(&run.entrypoint)),
        ("command", words(&run.cmd)),
        ("stop signal", run.stop_signal.clone()),
    ]);
    for warning in &details.warnings {
        page.fields([("warning", Some(warning.clone()))]);
    }
    let Some(container) = &details.container else {
        return;
    };
    page.fields([
        ("made from", Some(container.reference.clone())),
        ("index", container.index_digest.clone()),
        ("manifest", Some(container.digest.clone())),
        ("configuration", container.config_digest.clone()),
        ("platform", container.platform.clone()),
        ("made", container.created.clone()),
    ]);
    for layer in &container.layers {
        page.fields([(
            "layer",
            Some(format!("{} {}", layer.digest, ByteSize(layer.bytes))),
        )]);
    }
    for (name, value) in &container.labels {
        page.fields([("label", Some(format!("{name}={value}")))]);
    }
    let steps = container
        .history
        .iter()
        .filter_map(|step| step.created_by.as_deref());
    for step in steps {
        page.fields([("step", Some(step.to_owned()))]);
    }
}

/// Things that a prune removed, or would remove.
#[derive(Debug, Serialize)]
pub struct Prune<'a> {
    /// The images.
    pub images: &'a [Image],
    /// Bytes of disk that nothing else shares.
    pub freed_bytes: u64,
    /// Nothing was removed.
    pub dry_run: bool,
}

impl<'a> Prune<'a> {
    /// Of this answer.
    pub fn new(pruned: &'a PrunedImages, dry_run: bool) -> Self {
        Self {
            images: &pruned.images,
            freed_bytes: pruned.freed_bytes,
            dry_run,
        }
    }
}

impl Render for Prune<'_> {
    fn text(&self, page: &mut Page) {
        for image in self.images {
            page.line(image.name.as_str());
        }
    }
}

/// An image that was made: its name is enough.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Made(pub Image);

impl Render for Made {
    fn text(&self, page: &mut Page) {
        page.line(self.0.name.as_str());
    }
}

/// An archive that was written.
#[derive(Debug, Serialize)]
pub struct Exported<'a> {
    /// Its file.
    pub path: &'a std::path::Path,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Render for Exported<'_> {
    fn text(&self, page: &mut Page) {
        let (path, bytes) = (self.path.display(), ByteSize(self.bytes));
        page.line(format!("{path}, {bytes}"));
    }
}
