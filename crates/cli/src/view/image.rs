//! Images.

use banger_api::ByteSize;
use banger_api::image::Image;
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, age};
use crate::output::table::Table;

/// All images, one a line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct List(pub Vec<Image>);

impl Render for List {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&[
            "NAME", "INIT", "SIZE", "ON DISK", "SEED", "VMS", "AGE", "SOURCE",
        ]);
        for image in &self.0 {
            table.row([
                image.name.to_string(),
                image.init.clone(),
                ByteSize(image.base_bytes).to_string(),
                ByteSize(image.allocated_bytes).to_string(),
                image
                    .seed_bytes
                    .map(|bytes| ByteSize(bytes).to_string())
                    .unwrap_or_default(),
                image.used_by.to_string(),
                age(image.created_at, page.now()),
                image.source.clone(),
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
            ("init", Some(image.init.clone())),
            ("size", Some(ByteSize(image.base_bytes).to_string())),
            ("on disk", Some(ByteSize(image.allocated_bytes).to_string())),
            (
                "work seed",
                image.seed_bytes.map(|bytes| ByteSize(bytes).to_string()),
            ),
            ("VMs", Some(image.used_by.to_string())),
            ("created", Some(image.created_at.to_string())),
        ]);
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
