//! The index files that depmod writes beside modules, made of their own words, so that modprobe finds them.
//!
//! ```text
//!  .modinfo of each ─┬─► modules.dep(.bin)  modules.alias(.bin)  softdep  weakdep  devname
//!  exported symbols ─┴─► modules.symbols(.bin)
//!  modules.order ────► which of two modules for one device comes first
//!  modules.builtin(.modinfo) ─► modules.builtin.bin  modules.builtin.alias.bin
//! ```
//!
//! kmod's modprobe reads the `.bin` files (crate `module-index`), busybox's the text.

mod dependencies;
mod devname;

use std::collections::BTreeMap;

use banger_module_index::{IndexBuilder, TooLarge, alias_key, module_name};

use super::modinfo::ModInfo;
use crate::error::KernelError;
use dependencies::Dependencies;

/// Text of one kernel's `.modinfo` and symbols together; Debian's cloud kernel has 2 MiB, a generic one some 10.
const TEXT_MAX_BYTES: usize = 128 << 20;

/// One module of the tree.
#[derive(Debug, Clone)]
pub(crate) struct IndexedModule {
    /// Its path from the folder of the release, uncompressed: `kernel/fs/xfs/xfs.ko`.
    pub(crate) path: String,
    /// Its name, with underscores.
    pub(crate) name: String,
    /// Its own words.
    pub(crate) info: ModInfo,
    /// Symbols that it exports.
    pub(crate) symbols: Vec<String>,
}

/// Lists that come with a kernel, as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct KernelLists {
    /// `modules.order`.
    pub(crate) order: Option<Vec<u8>>,
    /// `modules.builtin`.
    pub(crate) builtin: Option<Vec<u8>>,
    /// `modules.builtin.modinfo`: `module.key=value` strings.
    pub(crate) builtin_modinfo: Option<Vec<u8>>,
}

/// The index files, by name.
///
/// # Errors
/// Names the module that depends on itself, or what there is too much of.
pub(crate) fn indexes(
    mut modules: Vec<IndexedModule>,
    lists: KernelLists,
) -> Result<Vec<(&'static str, Vec<u8>)>, KernelError> {
    check_size(&modules)?;
    sort(&mut modules, lists.order.as_deref().unwrap_or_default());
    let dependencies = Dependencies::of(&modules)?;
    let mut files = Vec::new();
    dependency_files(&modules, &dependencies, &mut files)?;
    alias_files(&modules, &mut files)?;
    symbol_files(&modules, &mut files)?;
    let soft = |info: &ModInfo| info.softdeps.clone();
    let weak = |info: &ModInfo| info.weakdeps.clone();
    files.push((
        "modules.softdep",
        lines_of(SOFTDEP, "softdep", &modules, soft),
    ));
    files.push((
        "modules.weakdep",
        lines_of(WEAKDEP, "weakdep", &modules, weak),
    ));
    files.push(("modules.devname", devname::file(&modules)));
    builtin_files(lists, &mut files)?;
    Ok(files)
}

type Files = Vec<(&'static str, Vec<u8>)>;

const ALIAS: &str = "# Aliases extracted from modules themselves.\n";
const SYMBOLS: &str = "# Aliases for symbols, used by symbol_request().\n";
const SOFTDEP: &str = "# Soft dependencies extracted from modules themselves.\n";
const WEAKDEP: &str = "# Weak dependencies extracted from modules themselves.\n";

fn check_size(modules: &[IndexedModule]) -> Result<(), KernelError> {
    let texts = modules.iter().flat_map(|module| {
        let info = &module.info;
        let lists = [&info.aliases, &info.softdeps, &info.weakdeps, &info.depends];
        lists.into_iter().chain([&module.symbols]).flatten()
    });
    let bytes: usize = texts.map(String::len).sum();
    if bytes > TEXT_MAX_BYTES {
        return Err(KernelError::TooLarge {
            what: "what the modules say about themselves".to_owned(),
            limit: TEXT_MAX_BYTES as u64,
        });
    }
    Ok(())
}

/// In the order of `modules.order`, which is that of linking: of two drivers for one device the first is preferred. Those
/// that are not in it come after, by path.
fn sort(modules: &mut [IndexedModule], order: &[u8]) {
    let order = String::from_utf8_lossy(order);
    let places: BTreeMap<&str, usize> = order.lines().zip(0..).collect();
    modules.sort_by_cached_key(|module| {
        let place = places.get(module.path.as_str()).copied();
        (place.unwrap_or(usize::MAX), module.path.clone())
    });
}

fn dependency_files(
    modules: &[IndexedModule],
    dependencies: &Dependencies,
    files: &mut Files,
) -> Result<(), KernelError> {
    let (mut text, mut index) = (String::new(), Index::new("modules.dep.bin"));
    for (place, module) in modules.iter().enumerate() {
        let mut line = format!("{}:", module.path);
        for needed in dependencies.all_of(place)? {
            line.push(' ');
            line.push_str(&modules[needed].path);
        }
        index.add(&module.name, &line, place);
        text.push_str(&line);
        text.push('\n');
    }
    files.push(("modules.dep", text.into_bytes()));
    index.finish(files)
}

fn alias_files(modules: &[IndexedModule], files: &mut Files) -> Result<(), KernelError> {
    let (mut text, mut index) = (ALIAS.to_owned(), Index::new("modules.alias.bin"));
    for (place, module) in modules.iter().enumerate() {
        for alias in module.info.aliases.iter().filter(|alias| is_line(alias)) {
            text.push_str(&format!("alias {alias} {}\n", module.name));
            if let Some(key) = alias_key(alias) {
                index.add(&key, &module.name, place);
            }
        }
    }
    files.push(("modules.alias", text.into_bytes()));
    index.finish(files)
}

fn symbol_files(modules: &[IndexedModule], files: &mut Files) -> Result<(), KernelError> {
    // Two modules that export one symbol cannot both be loaded; the later one is named, as by depmod.
    let mut owners = BTreeMap::new();
    for (place, module) in modules.iter().enumerate() {
        let symbols = module.symbols.iter().filter(|symbol| is_line(symbol));
        owners.extend(symbols.map(|symbol| (symbol, place)));
    }
    let (mut text, mut index) = (SYMBOLS.to_owned(), Index::new("modules.symbols.bin"));
    for (symbol, place) in owners {
        let (key, owner) = (format!("symbol:{symbol}"), &modules[place].name);
        text.push_str(&format!("alias {key} {owner}\n"));
        index.add(&key, owner, place);
    }
    files.push(("modules.symbols", text.into_bytes()));
    index.finish(files)
}

fn lines_of(
    head: &str,
    word: &str,
    modules: &[IndexedModule],
    values: impl Fn(&ModInfo) -> Vec<String>,
) -> Vec<u8> {
    let mut text = head.to_owned();
    for module in modules {
        let values = values(&module.info);
        for value in values.iter().filter(|value| is_line(value)) {
            text.push_str(&format!("{word} {} {value}\n", module.name));
        }
    }
    text.into_bytes()
}

/// Those of what is in the kernel itself; the kernel's own lists are kept beside them.
fn builtin_files(lists: KernelLists, files: &mut Files) -> Result<(), KernelError> {
    let mut index = Index::new("modules.builtin.bin");
    let builtin = lists.builtin.unwrap_or_default();
    for line in String::from_utf8_lossy(&builtin).lines() {
        index.add(&module_name(line), "", 0);
    }
    index.finish(files)?;
    let mut index = Index::new("modules.builtin.alias.bin");
    let modinfo = lists.builtin_modinfo.unwrap_or_default();
    for entry in modinfo.split(|byte| *byte == 0) {
        let entry = String::from_utf8_lossy(entry);
        let Some((module, alias)) = entry.split_once(".alias=") else {
            continue;
        };
        if let Some(key) = alias_key(alias) {
            index.add(&key, &module_name(module), 0);
        }
    }
    index.finish(files)?;
    files.push(("modules.builtin", builtin));
    files.push(("modules.builtin.modinfo", modinfo));
    files.push(("modules.order", lists.order.unwrap_or_default()));
    Ok(())
}

/// True when a value fits on a line of a text file. What does not is nobody's real alias.
fn is_line(value: &str) -> bool {
    !value.is_empty() && !value.chars().any(char::is_control)
}

/// A `.bin` file in the making.
struct Index {
    file: &'static str,
    builder: IndexBuilder,
}

impl Index {
    fn new(file: &'static str) -> Self {
        Self {
            file,
            builder: IndexBuilder::default(),
        }
    }

    /// A key that the format cannot hold is one that nobody can ask for.
    fn add(&mut self, key: &str, value: &str, place: usize) {
        let priority = u32::try_from(place).unwrap_or(u32::MAX);
        let _ = self
            .builder
            .insert(key.as_bytes(), value.as_bytes(), priority);
    }

    fn finish(self, files: &mut Files) -> Result<(), KernelError> {
        let bytes = self
            .builder
            .finish()
            .map_err(|TooLarge| KernelError::TooLarge {
                what: self.file.to_owned(),
                limit: 256 << 20,
            })?;
        files.push((self.file, bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
