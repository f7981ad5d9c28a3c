//! Empty disks in well under a millisecond each: a few blocks written into a file of holes.
//!
//! ```text
//!  first disk of a size ─► laid out once, its ≈100 KiB that are not zeros are kept
//!  every disk           ─► new file, ftruncate, superblocks with its own label and UUID, a few pwrites
//! ```
//!
//! Each disk has a UUID of its own. The guest mounts its disks by their virtio serial, so banger itself needs none.
//! But the kernel's logs, `blkid`, `/dev/disk/by-uuid` and every mount by UUID inside the guest take two equal UUIDs
//! for one disk, and a fork's disks must not be mistaken for their origin's. It costs nothing: all checksums start
//! from a seed that is not the UUID (`metadata_csum_seed`, Linux 4.4), so only the superblocks change.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::ext4::template::{Template, TemplateError};
use crate::label::{Label, LabelError};
use crate::sparse::{create_new, remove_begun};

/// Smallest empty disk in bytes: its journal takes 4 MiB.
pub const LEAST_BLANK_SIZE: u64 = 16 << 20;
/// Sizes whose templates are remembered; a daemon uses one or two.
const REMEMBERED: usize = 16;

/// An empty disk to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlankDisk {
    size: u64,
    label: Label,
    uuid: Uuid,
}

/// Reason why an empty disk cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BlankError {
    /// Its label does not fit.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// Smaller than [`LEAST_BLANK_SIZE`].
    #[error("an empty disk of {size} bytes is too small, at least {LEAST_BLANK_SIZE} are needed")]
    TooSmall {
        /// Requested size in bytes.
        size: u64,
    },
    /// It cannot be laid out, for example because it is too large.
    #[error("cannot lay out an empty disk of {size} bytes")]
    Layout {
        /// Requested size in bytes.
        size: u64,
        /// Cause.
        #[source]
        source: TemplateError,
    },
    /// The file cannot be made or written.
    #[error("cannot create empty disk {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl BlankDisk {
    /// An empty disk of `size` bytes.
    ///
    /// # Errors
    /// Fails when the label does not fit or the size is below 16 MiB.
    pub fn new(size: u64, label: &str, uuid: Uuid) -> Result<Self, BlankError> {
        if size < LEAST_BLANK_SIZE {
            return Err(BlankError::TooSmall { size });
        }
        Ok(Self {
            size,
            label: Label::new(label)?,
            uuid,
        })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Cache of empty file systems by size. Cheap to make, may be shared between threads.
#[derive(Debug, Default)]
pub struct Templates {
    by_size: Mutex<HashMap<u64, Arc<Template>>>,
}

impl Templates {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `disk` as the new file `path` (mode 0600): an ext4 with a journal, its root directory root:root 0755 and
    /// empty, that a guest's kernel can grow while it is mounted. Returns the file, not synced.
    ///
    /// # Errors
    /// Fails when `path` exists, the size is impossible, or the file cannot be written; no new file is left at `path`.
    pub fn create(&self, disk: &BlankDisk, path: &Path) -> Result<File, BlankError> {
        let template = self.template(disk)?;
        let failed = |source| BlankError::Create {
            path: path.to_owned(),
            source,
        };
        let file = create_new(path).map_err(failed)?;
        match fill(&file, disk, &template) {
            Ok(()) => Ok(file),
            Err(source) => {
                remove_begun(path);
                Err(failed(source))
            }
        }
    }

    fn template(&self, disk: &BlankDisk) -> Result<Arc<Template>, BlankError> {
        // A panic while it was held leaves a valid map: entries are inserted whole.
        let mut known = self.by_size.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = known.get(&disk.size) {
            return Ok(Arc::clone(template));
        }
        let made = Template::new(disk.size, disk.label).map_err(|source| BlankError::Layout {
            size: disk.size,
            source,
        })?;
        if known.len() >= REMEMBERED {
            known.clear();
        }
        let made = Arc::new(made);
        known.insert(disk.size, Arc::clone(&made));
        Ok(made)
    }
}

fn fill(file: &File, disk: &BlankDisk, template: &Template) -> io::Result<()> {
    file.set_len(disk.size)?;
    for (offset, bytes) in template.named(disk.label, disk.uuid) {
        file.write_all_at(&bytes, offset)?;
    }
    Ok(())
}
