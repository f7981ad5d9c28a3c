//! Work seeds: the initial content of new work disks.
//!
//! ```text
//! auto ─► the image's own /root, when anything is in it ─┐
//! root ─► the image's own /root ─────────────────────────┼─► tree ─► seed.ext4
//! path ─► archive or folder, given to root ──────────────┘             ▲
//!     └─► ext4 image ──────────────────────────────────── sparse copy ─┤
//! kept ─► the user's choice for an older image ───────────────── link ─┘     else as auto
//! ```

use std::path::{Path, PathBuf};

use banger_disk::tree::{Attributes, NodeKind, Tree};
use banger_oci::{Files, Losses};

use crate::error::ImageError;
use crate::input::{Input, kind_of, read_archive, read_folder};
use crate::lookup::follow;
use crate::metadata::{DiskRecord, ImageMetadata, SEED, SeedChoice};
use crate::progress::Watch;

/// Origin of a work seed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SeedFrom {
    /// The image's own `/root`, if that has any files; else there is no seed.
    #[default]
    Auto,
    /// The image's own `/root`.
    Root,
    /// No seed: work disks start empty.
    None,
    /// An ext4 image, an archive or a folder of the user.
    Path(PathBuf),
    /// The user's choice for the image in this folder; as [`SeedFrom::Auto`] if there was none. Both folders must lie
    /// on one file system.
    Kept(PathBuf),
}

/// A requested work seed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkSeed {
    /// Its origin.
    pub from: SeedFrom,
    /// Size of its file system in bytes, unless it is an ext4 image; `None` for one that fits.
    pub size: Option<u64>,
}

/// A work seed that was read, or that will be copied.
#[derive(Debug)]
pub(crate) enum Seed {
    /// A disk image to copy in.
    Disk(PathBuf),
    /// A tree to write, and the size of its file system when the user gave one, in bytes.
    Tree(Box<Tree>, Option<u64>),
    /// The seed of another image.
    Linked {
        /// Its file.
        path: PathBuf,
        /// Its record.
        disk: DiskRecord,
        /// True when banger has written it from files.
        ours: bool,
    },
}

/// A seed, or none, and the origin of that decision.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) by: SeedChoice,
    pub(crate) seed: Option<Seed>,
    /// Properties of the files that could not be kept.
    pub(crate) losses: Losses,
}

impl Chosen {
    fn new(by: SeedChoice, seed: Option<Seed>) -> Self {
        Self {
            by,
            seed,
            losses: Losses::default(),
        }
    }
}

impl WorkSeed {
    /// Reads the seed. `base` is the image's own tree, if it is known.
    pub(crate) fn read(
        &self,
        base: Option<&Tree>,
        scratch: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<Chosen, ImageError> {
        let tree = |tree| Seed::Tree(Box::new(tree), self.size);
        let (by, seed) = match &self.from {
            SeedFrom::None => (SeedChoice::Nothing, None),
            SeedFrom::Auto => {
                let own = base.map(own_root).transpose()?.flatten();
                let own = own.filter(|own| own.entry_count() > 0);
                (SeedChoice::Image, own.map(tree))
            }
            SeedFrom::Root => match base.map(own_root).transpose()?.flatten() {
                Some(own) => (SeedChoice::Image, Some(tree(own))),
                None => {
                    return Err(ImageError::NoRootForSeed {
                        why: if base.is_some() {
                            "the image has no directory /root"
                        } else {
                            "banger does not look into a disk image that others have made"
                        },
                    });
                }
            },
            SeedFrom::Path(path) => {
                return read_path(path, self.size, scratch, watch);
            }
            SeedFrom::Kept(image) => return self.kept(image, base, scratch, watch),
        };
        Ok(Chosen::new(by, seed))
    }

    fn kept(
        &self,
        image: &Path,
        base: Option<&Tree>,
        scratch: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<Chosen, ImageError> {
        let older = ImageMetadata::read(image)?;
        let seed = older.seed.map(|disk| Seed::Linked {
            path: image.join(SEED),
            disk,
            ours: older.seed_is_ours,
        });
        let by = older.seed_choice;
        match by {
            SeedChoice::User => Ok(Chosen::new(by, seed)),
            SeedChoice::Nothing => Ok(Chosen::new(by, None)),
            SeedChoice::Image => {
                let auto = Self {
                    from: SeedFrom::Auto,
                    size: self.size,
                };
                auto.read(base, scratch, watch)
            }
        }
    }
}

/// The image's own `/root`, with everything in it.
fn own_root(base: &Tree) -> Result<Option<Tree>, ImageError> {
    match follow(base, "root") {
        Some(node) if base.node(node).kind.is_directory() => {
            base.subtree(node)
                .map(Some)
                .map_err(|source| ImageError::Change {
                    path: "/root".to_owned(),
                    source,
                })
        }
        _ => Ok(None),
    }
}

fn read_path(
    path: &Path,
    size: Option<u64>,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<Chosen, ImageError> {
    let by = SeedChoice::User;
    let Files { mut tree, losses } = match kind_of(path)? {
        Input::Disk if size.is_some() => {
            let why = "a work seed that is a disk image keeps its own size; leave the size out"
                .to_owned();
            return Err(ImageError::Unsuitable {
                path: path.to_path_buf(),
                why,
            });
        }
        Input::Disk => return Ok(Chosen::new(by, Some(Seed::Disk(path.to_path_buf())))),
        Input::Folder => read_folder(path, watch)?,
        Input::Archive => read_archive(path, scratch, watch)?,
    };
    give_to_root(&mut tree)?;
    let seed = Some(Seed::Tree(Box::new(tree), size));
    Ok(Chosen { by, seed, losses })
}

/// Makes a user's folder fit to be `/root`: its root becomes root:root 0755, so that sshd accepts it, and the files of
/// the folder's owner on the host become root's.
fn give_to_root(tree: &mut Tree) -> Result<(), ImageError> {
    let failed = |source| ImageError::Change {
        path: "/".to_owned(),
        source,
    };
    let owner = *tree.node(tree.root()).attributes;
    let mut left = vec![tree.root()];
    while let Some(node) = left.pop() {
        let mut attributes = *tree.node(node).attributes;
        if attributes.uid == owner.uid {
            attributes.uid = 0;
        }
        if attributes.gid == owner.gid {
            attributes.gid = 0;
        }
        tree.set_attributes(node, attributes).map_err(failed)?;
        if matches!(tree.node(node).kind, NodeKind::Directory) {
            left.extend(tree.children(node).map(|child| child.node));
        }
    }
    let root = tree.root();
    let attributes = Attributes {
        mtime: owner.mtime,
        ..Attributes::root(0o755)
    };
    tree.set_attributes(root, attributes).map_err(failed)
}
