//! Sources of module files: a folder of the host, or a package that has been read into one spool file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::decompress::{Compression, decompress};
use crate::error::KernelError;
use crate::modules::spool::{Spool, Spooled};
use banger_watch::Cancel;

/// Largest module, packed or not; Debian's largest is 5 MiB.
const MODULE_MAX_BYTES: u64 = 64 << 20;
/// Largest `modules.dep` and the like; Debian's is 600 KiB.
const INDEX_MAX_BYTES: u64 = 16 << 20;
pub(super) const FILES_MAX: usize = 50_000;
const DEPTH_MAX: usize = 16;

/// Lists of a kernel's own that are read, beside its modules.
pub(crate) const INDEXES: [&str; 4] = [
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.dep",
    "modules.order",
];

/// The files below `/lib/modules/<release>`, by their path from there.
pub(crate) trait ModuleTree {
    /// Paths of all files that look like modules.
    fn modules(&self) -> Vec<String>;
    /// An index file such as `modules.dep`; `None` when there is none.
    fn index(&self, name: &str) -> Result<Option<Vec<u8>>, KernelError>;
    /// A module's bytes as they are stored.
    fn stored(&self, path: &str) -> Result<Vec<u8>, KernelError>;

    /// Place of the stored bytes in a file of ours; `None` for those of somebody else's files.
    fn spooled(&self, _path: &str) -> Option<Spooled> {
        None
    }

    /// A module's ELF bytes, and whether they were compressed.
    fn unpacked(&self, path: &str, cancel: Cancel<'_>) -> Result<(Vec<u8>, bool), KernelError> {
        let stored = self.stored(path)?;
        match Compression::detect(&stored) {
            Some(compression) => {
                let bytes = decompress(&stored, compression, MODULE_MAX_BYTES, path, cancel)?;
                Ok((bytes, true))
            }
            None => Ok((stored, false)),
        }
    }

    /// A module's ELF bytes, uncompressed.
    fn module(&self, path: &str, cancel: Cancel<'_>) -> Result<Vec<u8>, KernelError> {
        self.unpacked(path, cancel).map(|(bytes, _)| bytes)
    }
}

/// Tells whether a file name is that of a module, packed or not.
pub(crate) fn is_module_file(name: &str) -> bool {
    [".ko", ".ko.xz", ".ko.zst", ".ko.gz"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// A folder of the host.
#[derive(Debug)]
pub(crate) struct FolderTree {
    root: PathBuf,
    modules: Vec<String>,
}

impl FolderTree {
    /// Lists the modules below `root`. Links are not followed: `build` and `source` lead out of the tree.
    pub(crate) fn open(root: &Path) -> Result<Self, KernelError> {
        let mut tree = Self {
            root: root.to_path_buf(),
            modules: Vec::new(),
        };
        tree.list("", 0)?;
        tree.modules.sort();
        Ok(tree)
    }

    fn list(&mut self, folder: &str, depth: usize) -> Result<(), KernelError> {
        let path = self.root.join(folder);
        if depth > DEPTH_MAX {
            return Err(KernelError::TooLarge {
                what: format!("the depth of {}", path.display()),
                limit: DEPTH_MAX as u64,
            });
        }
        let failed = |source| KernelError::io("list", &path, source);
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let relative = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            if kind.is_dir() {
                self.list(&relative, depth + 1)?;
            } else if kind.is_file() && is_module_file(&relative) {
                self.modules.push(relative);
                if self.modules.len() > FILES_MAX {
                    let what = format!("the number of modules in {}", self.root.display());
                    return Err(KernelError::TooLarge {
                        what,
                        limit: FILES_MAX as u64,
                    });
                }
            }
        }
        Ok(())
    }
}

impl ModuleTree for FolderTree {
    fn modules(&self) -> Vec<String> {
        self.modules.clone()
    }

    fn index(&self, name: &str) -> Result<Option<Vec<u8>>, KernelError> {
        let path = self.root.join(name);
        match File::open(&path) {
            Ok(file) => read_at_most(&file, INDEX_MAX_BYTES, &path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KernelError::io("open", &path, source)),
        }
    }

    fn stored(&self, path: &str) -> Result<Vec<u8>, KernelError> {
        let path = self.root.join(path);
        let file = File::open(&path).map_err(|source| KernelError::io("open", &path, source))?;
        read_at_most(&file, MODULE_MAX_BYTES, &path)
    }
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_at_most(file: &File, limit: u64, path: &Path) -> Result<Vec<u8>, KernelError> {
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| KernelError::io("read", path, source))?;
    if bytes.len() as u64 > limit {
        return Err(KernelError::TooLarge {
            what: path.display().to_string(),
            limit,
        });
    }
    Ok(bytes)
}

/// The modules of a package, kept in one unnamed file while they are chosen from: a package is read once, in its own
/// order, and which modules are needed is known only at its end.
#[derive(Debug)]
pub(crate) struct PackageTree {
    spool: Spool,
    places: BTreeMap<String, Spooled>,
    indexes: BTreeMap<String, Vec<u8>>,
}

impl PackageTree {
    /// An empty tree whose spool lies, without a name, in `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self, KernelError> {
        Ok(Self {
            spool: Spool::new(folder)?,
            places: BTreeMap::new(),
            indexes: BTreeMap::new(),
        })
    }

    pub(crate) fn add_module(
        &mut self,
        path: &str,
        file: &mut crate::deb::TarFile<'_>,
    ) -> Result<(), KernelError> {
        if self.places.len() >= FILES_MAX {
            return Err(KernelError::TooLarge {
                what: "the number of modules in the package".to_owned(),
                limit: FILES_MAX as u64,
            });
        }
        let place = self.spool.append(&file.read(MODULE_MAX_BYTES)?)?;
        self.places.insert(path.to_owned(), place);
        Ok(())
    }

    pub(crate) fn add_index(
        &mut self,
        name: &str,
        file: &mut crate::deb::TarFile<'_>,
    ) -> Result<(), KernelError> {
        self.indexes
            .insert(name.to_owned(), file.read(INDEX_MAX_BYTES)?);
        Ok(())
    }
}

impl ModuleTree for PackageTree {
    fn modules(&self) -> Vec<String> {
        self.places.keys().cloned().collect()
    }

    fn index(&self, name: &str) -> Result<Option<Vec<u8>>, KernelError> {
        Ok(self.indexes.get(name).cloned())
    }

    fn stored(&self, path: &str) -> Result<Vec<u8>, KernelError> {
        let missing = || KernelError::Module {
            module: path.to_owned(),
            why: "it is not in the package".to_owned(),
        };
        self.spool.read(self.places.get(path).ok_or_else(missing)?)
    }

    fn spooled(&self, path: &str) -> Option<Spooled> {
        self.places.get(path).cloned()
    }
}
