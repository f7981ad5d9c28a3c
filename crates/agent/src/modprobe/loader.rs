//! From a name to files, in the order in which the kernel takes them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use banger_module_index::{Index, IndexError, alias_key, module_name};
use rustix::io::Errno;

/// Largest index file; Debian's largest has 1.4 MB.
const INDEX_MAX_BYTES: u64 = 64 << 20;
/// Modules that one request may load; real ones need some 40.
const MODULES_MAX: usize = 256;
/// Soft dependencies of soft dependencies.
const DEPTH_MAX: usize = 8;
/// `MODULE_INIT_COMPRESSED_FILE` (`include/uapi/linux/module.h`): the kernel unpacks the file itself, where it can.
const COMPRESSED: i32 = 4;

/// Reason why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModprobeError {
    /// No module and no alias of that name.
    #[error("module {0} not found in {1}")]
    NotFound(String, String),
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, io::Error),
    /// An index is damaged.
    #[error("{0}: {1}")]
    Index(String, IndexError),
    /// The index names a path that leads elsewhere.
    #[error("{0} is no path of a module")]
    Path(String),
    /// One request leads to ever more modules.
    #[error("more than {MODULES_MAX} modules are asked for at once")]
    TooMany,
    /// The kernel does not take it.
    #[error("cannot load {0}: {1}")]
    Load(String, io::Error),
}

/// Loads modules of one folder.
pub struct Loader<L> {
    folder: PathBuf,
    /// Takes each file.
    into: L,
    /// Names that were loaded, or are being loaded.
    seen: BTreeSet<String>,
}

impl<L: FnMut(&Path) -> io::Result<()>> Loader<L> {
    /// A loader of the modules in `folder`, which has its index files.
    pub fn new(folder: &Path, into: L) -> Self {
        Self {
            folder: folder.to_path_buf(),
            into,
            seen: BTreeSet::new(),
        }
    }

    /// Loads a module by its name, or all that an alias stands for.
    ///
    /// # Errors
    /// There is none, an index is damaged, or the kernel refuses.
    pub fn load(&mut self, name: &str) -> Result<(), ModprobeError> {
        self.load_at(name, 0)
    }

    fn load_at(&mut self, name: &str, depth: usize) -> Result<(), ModprobeError> {
        let Some(key) = alias_key(name) else {
            return Err(self.not_found(name));
        };
        if let Some(line) = self.find("modules.dep.bin", &key, false)?.pop() {
            return self.load_line(&key, &line, depth);
        }
        if !self.find("modules.builtin.bin", &key, false)?.is_empty() {
            return Ok(());
        }
        let index = match key.starts_with("symbol:") {
            true => "modules.symbols.bin",
            false => "modules.alias.bin",
        };
        let modules = self.find(index, &key, true)?;
        if modules.is_empty() {
            if !self
                .find("modules.builtin.alias.bin", &key, true)?
                .is_empty()
            {
                return Ok(());
            }
            return Err(self.not_found(name));
        }
        for module in modules {
            if let Some(line) = self.find("modules.dep.bin", &module, false)?.pop() {
                self.load_line(&module, &line, depth)?;
            }
        }
        Ok(())
    }

    fn not_found(&self, name: &str) -> ModprobeError {
        ModprobeError::NotFound(name.to_owned(), self.folder.display().to_string())
    }

    /// `path: needed needed`: the last one needs none of the others.
    fn load_line(&mut self, module: &str, line: &str, depth: usize) -> Result<(), ModprobeError> {
        if !self.begin(module)? {
            return Ok(());
        }
        let (path, needed) = line.split_once(':').unwrap_or((line, ""));
        let soft = match depth < DEPTH_MAX {
            true => self.soft_dependencies(module)?,
            false => SoftDependencies::default(),
        };
        self.load_soft(&soft.before, depth)?;
        for path in needed.split_whitespace().rev() {
            if self.begin(&module_name(path))? {
                self.load_file(path)?;
            }
        }
        self.load_file(path)?;
        self.load_soft(&soft.after, depth)
    }

    /// A soft dependency is a wish: one that is not there is no failure.
    fn load_soft(&mut self, names: &[String], depth: usize) -> Result<(), ModprobeError> {
        for name in names {
            if let Err(ModprobeError::TooMany) = self.load_at(name, depth + 1) {
                return Err(ModprobeError::TooMany);
            }
        }
        Ok(())
    }

    fn begin(&mut self, module: &str) -> Result<bool, ModprobeError> {
        if self.seen.len() >= MODULES_MAX {
            return Err(ModprobeError::TooMany);
        }
        Ok(self.seen.insert(module.to_owned()))
    }

    fn load_file(&mut self, path: &str) -> Result<(), ModprobeError> {
        let relative = Path::new(path);
        let is_below = |part: Component<'_>| matches!(part, Component::Normal(_));
        if path.is_empty() || !relative.components().all(is_below) {
            return Err(ModprobeError::Path(path.to_owned()));
        }
        let file = self.folder.join(relative);
        (self.into)(&file).map_err(|error| ModprobeError::Load(path.to_owned(), error))
    }

    /// The values of a key in an index; none when there is no such file.
    fn find(&self, file: &str, key: &str, patterns: bool) -> Result<Vec<String>, ModprobeError> {
        let Some(bytes) = self.read(file)? else {
            return Ok(Vec::new());
        };
        let found = Index::open(&bytes).and_then(|index| match patterns {
            true => index.matching(key.as_bytes()),
            false => index.find(key.as_bytes()),
        });
        let found = found.map_err(|error| ModprobeError::Index(file.to_owned(), error))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(found.iter().map(|value| text(value.bytes)).collect())
    }

    fn soft_dependencies(&self, module: &str) -> Result<SoftDependencies, ModprobeError> {
        let text = self.read("modules.softdep")?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut found = SoftDependencies::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if words.next() != Some("softdep") || words.next() != Some(module) {
                continue;
            }
            let mut list = None;
            for word in words {
                match (word, &mut list) {
                    ("pre:", _) => list = Some(&mut found.before),
                    ("post:", _) => list = Some(&mut found.after),
                    (name, Some(list)) => list.push(name.to_owned()),
                    (_, None) => {}
                }
            }
        }
        Ok(found)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, ModprobeError> {
        let path = self.folder.join(file);
        let failed = |error| ModprobeError::Read(path.display().to_string(), error);
        let opened = match File::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        opened
            .take(INDEX_MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > INDEX_MAX_BYTES {
            return Err(failed(io::Error::other("it is absurdly large")));
        }
        Ok(Some(bytes))
    }
}

#[derive(Debug, Default)]
struct SoftDependencies {
    before: Vec<String>,
    after: Vec<String>,
}

/// Gives a file to the kernel. One that is loaded already is as good.
pub(super) fn into_kernel(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let packed = path.extension().is_some_and(|ending| ending != "ko");
    let flags = if packed { COMPRESSED } else { 0 };
    match rustix::system::finit_module(&file, c"", flags) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
