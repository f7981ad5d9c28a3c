//! Images as users see them: sizes, shared files, origins.

use std::collections::{BTreeMap, BTreeSet};

use banger_api::ApiError;
use banger_api::image::Image;
use banger_store::{ImageRecord, VmRecord, image, vm};

use crate::Control;
use crate::artifact::{damage, users};
use crate::operations::timestamp;

/// A file of the host: images share files.
type File = (u64, u64);

/// Files of each image, and the bytes that each file takes.
struct Files {
    sizes: BTreeMap<File, u64>,
    of: BTreeMap<String, BTreeSet<File>>,
}

impl Files {
    fn of(control: &Control, records: &[ImageRecord]) -> Self {
        let (mut sizes, mut of) = (BTreeMap::new(), BTreeMap::new());
        for record in records {
            let folder = control.places().image(&record.digest);
            let mut own = BTreeSet::new();
            for file in control.environment().files_of(&folder) {
                sizes.insert(file.id, file.bytes);
                own.insert(file.id);
            }
            of.insert(record.name.to_string(), own);
        }
        Self { sizes, of }
    }

    fn bytes<'a>(&self, files: impl Iterator<Item = &'a File>) -> u64 {
        files.filter_map(|file| self.sizes.get(file)).sum()
    }

    fn all_of(&self, name: &str) -> impl Iterator<Item = &File> {
        self.of.get(name).into_iter().flatten()
    }

    /// Files of image `name` that another image also has.
    fn shared_of(&self, name: &str) -> impl Iterator<Item = &File> {
        self.all_of(name).filter(move |file| {
            let mut others = self.of.iter().filter(|(other, _)| *other != name);
            others.any(|(_, files)| files.contains(file))
        })
    }
}

/// All images.
///
/// # Errors
/// Only the store's.
pub fn images(control: &Control) -> Result<Vec<Image>, ApiError> {
    let vms = control.read(vm::list)?;
    let records = control.read(image::list)?;
    let files = Files::of(control, &records);
    Ok(records
        .iter()
        .map(|record| Image {
            error: damage(control, record),
            ..view(record, &files, &vms)
        })
        .collect())
}

/// One image with all about it.
///
/// # Errors
/// Only the store's.
pub fn image_view(control: &Control, record: &ImageRecord) -> Result<Image, ApiError> {
    let vms = control.read(vm::list)?;
    let files = Files::of(control, &control.read(image::list)?);
    let mut image = view(record, &files, &vms);
    let folder = control.places().image(&record.digest);
    match control.environment().image_details(&folder) {
        Ok(mut details) => {
            details.vms = users(record, &vms);
            image.details = Some(details);
        }
        // The image says so itself.
        Err(_damaged) => image.error = damage(control, record),
    }
    Ok(image)
}

/// Bytes that are freed when all of these images go: files that remaining images share are not counted.
///
/// # Errors
/// Only the store's.
pub(super) fn freed_with(control: &Control, going: &[Image]) -> Result<u64, ApiError> {
    let records = control.read(image::list)?;
    let files = Files::of(control, &records);
    let goes = |name: &str| going.iter().any(|image| image.name.as_str() == name);
    let (gone, kept): (Vec<_>, Vec<_>) = files.of.iter().partition(|(name, _)| goes(name));
    let kept: BTreeSet<File> = kept
        .into_iter()
        .flat_map(|(_, files)| files)
        .copied()
        .collect();
    let gone: BTreeSet<File> = gone
        .into_iter()
        .flat_map(|(_, files)| files)
        .copied()
        .collect();
    Ok(files.bytes(gone.difference(&kept)))
}

fn view(record: &ImageRecord, files: &Files, vms: &[VmRecord]) -> Image {
    let name = record.name.as_str();
    Image {
        name: record.name.clone(),
        digest: record.digest.with_algorithm(),
        source: record.source.clone(),
        init: record.init.clone(),
        base_bytes: record.base_bytes,
        allocated_bytes: files.bytes(files.all_of(name)),
        shared_bytes: files.bytes(files.shared_of(name)),
        seed_bytes: record.seed_bytes,
        superseded: record.superseded,
        used_by: users(record, vms).len() as u64,
        created_at: timestamp(record.created_ms),
        error: None,
        details: None,
    }
}
