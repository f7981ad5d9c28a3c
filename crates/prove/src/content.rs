//! Contents of simulated files: of images and kernels, and of all others.

use std::path::{Path, PathBuf};

use banger_api::kernel::KernelSource;
use banger_api::{ApiError, ContentDigest, ErrorCode};
use banger_ops::{ContainerAt, HostResult, ImageSource};

use crate::fs::Content;
use crate::machine::{Extent, World};

/// Size of every made base and image, in bytes: the smallest disk that a VM may have.
pub(crate) const SIZE: u64 = 64 << 20;

/// Content of a top in which nothing was written: what is read there is what lies below.
pub(crate) const EMPTY_TOP: Content = Content::Whole(0);

/// Content that is read on a disk whose files are these, the highest first; `None` when one of them is not there.
pub(crate) fn read_through(world: &World, files: &[PathBuf]) -> Option<Content> {
    let mut found = EMPTY_TOP;
    for path in files {
        let (content, _) = world.files.file(path)?;
        if found == EMPTY_TOP {
            found = content;
        }
    }
    Some(found)
}

/// A content that stands for `text`.
pub(crate) fn content_of(text: &str) -> u64 {
    // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The digest of an image or kernel that is made from `what`.
pub(crate) fn digest_of(what: &str) -> ContentDigest {
    let mut bytes = [0; 32];
    for part in bytes.chunks_exact_mut(8) {
        part.copy_from_slice(&content_of(what).to_be_bytes());
    }
    bytes.into()
}

pub(crate) fn cut(content: u64, extent: Extent) -> Content {
    match extent {
        Extent::Whole => Content::Whole(content),
        Extent::Part => Content::Torn,
    }
}

/// Writes a directory of files with the content `what`; if it is cut off, the record is missing.
pub(crate) fn make_files(
    world: &mut World,
    into: &Path,
    what: &str,
    names: &[&str],
    extent: Extent,
) -> HostResult<()> {
    for name in names {
        let path = into.join(name);
        if let Some(dir) = path.parent().filter(|dir| *dir != into) {
            world.files.make_dir(dir)?;
        }
        world
            .files
            .write(&path, cut(content_of(what), extent), SIZE)?;
        if extent == Extent::Part {
            return Ok(());
        }
    }
    // The record names the content, so that it can be read back.
    let record = into.join(format!("record-{what}"));
    world
        .files
        .write(&record, Content::Whole(content_of(what)), 1)
}

pub(crate) fn made(world: &World, dir: &Path) -> HostResult<String> {
    let names = world.files.list(dir);
    let record = names
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.strip_prefix("record-"))
        .next();
    record.map(str::to_owned).ok_or_else(|| {
        ApiError::new(
            ErrorCode::Internal,
            format!("{} has no record", dir.display()),
        )
    })
}

/// Files of an image that is made from `what`: some have no work seed.
pub(crate) fn image_files(what: &str) -> &'static [&'static str] {
    match what.contains("alpine") {
        true => &["base.img"],
        false => &["base.img", "seed.img"],
    }
}

/// Name of an image's source.
pub(crate) fn image_name(source: &ImageSource) -> String {
    match source {
        ImageSource::Recipe { recipe, .. } => recipe.clone(),
        ImageSource::Container { at, reference, .. } => match at {
            ContainerAt::Cache(manifest) => format!("{reference}@{manifest}"),
            ContainerAt::Path { path, .. } => path.to_string_lossy().replace('/', "_"),
        },
        ImageSource::Rootfs { rootfs, .. } => rootfs.to_string_lossy().replace('/', "_"),
        ImageSource::Saved { vm, .. } => format!("saved-{vm}"),
        ImageSource::Reseed { image, .. } => {
            let digest = image.file_name().unwrap_or_default();
            format!("reseeded-{}", digest.to_string_lossy())
        }
    }
}

pub(crate) fn kernel_name(source: &KernelSource) -> String {
    match source {
        KernelSource::Deb { path }
        | KernelSource::Dir { path }
        | KernelSource::Image { path, .. } => path.replace('/', "_"),
        KernelSource::Host => "host".to_owned(),
        KernelSource::Default => "default".to_owned(),
    }
}
