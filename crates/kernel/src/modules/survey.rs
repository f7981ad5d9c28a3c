//! All modules of a tree: read once, unpacked, and checked to be this kernel's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::index::{IndexedModule, KernelLists};
use super::left_out::{self, LARGE_FROM};
use super::modinfo::{ModInfo, exported_symbols};
use super::spool::{Spool, Spooled};
use super::tree::ModuleTree;
use banger_module_index::module_name;

use crate::error::KernelError;
use crate::progress::{Stage, Watch};

/// Longest name of a file (`NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;
/// Endings of packed modules, which are kept unpacked: busybox and older versions of kmod cannot unpack them.
const PACKED: [&str; 3] = [".xz", ".zst", ".gz"];
/// Modules between two reports.
const REPORT_EVERY: usize = 64;

/// The modules of a tree.
pub(super) struct Survey {
    /// By path; several may have one name.
    pub(super) modules: Vec<(IndexedModule, Spooled)>,
    /// Number of those that were left out.
    pub(super) left_out: u64,
}

/// Reads all modules of `tree`. A large tree is read without drivers for hardware that no guest has, unless `all` are
/// wanted. `scratch` takes a spool without a name.
pub(super) fn survey(
    tree: &dyn ModuleTree,
    release: &str,
    all: bool,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<Survey, KernelError> {
    let paths = tree.modules();
    let leave_out = !all && paths.len() >= LARGE_FROM;
    let mut surveyor = Surveyor {
        tree,
        release,
        spool: Spool::new(scratch)?,
    };
    let mut modules: BTreeMap<String, (IndexedModule, Spooled)> = BTreeMap::new();
    let mut gone = BTreeSet::new();
    let total = paths.len();
    for (done, stored) in paths.iter().enumerate() {
        watch.check()?;
        if done.is_multiple_of(REPORT_EVERY) {
            watch.report(
                Stage::CollectModules,
                stored.clone(),
                done as u64,
                total as u64,
            );
        }
        let path = unpacked_path(stored)?;
        if leave_out && left_out::folder(path).is_some() {
            gone.insert(module_name(path));
            continue;
        }
        let module = surveyor.module(stored, path, watch)?;
        if modules.insert(path.to_owned(), module).is_some() {
            return Err(broken(
                path,
                "there are two files of it, packed and unpacked",
            ));
        }
    }
    let mut modules: Vec<_> = modules.into_values().collect();
    if !gone.is_empty() {
        let kept: Vec<IndexedModule> = modules.iter().map(|(module, _)| module.clone()).collect();
        let alone = left_out::left_alone(&kept, &gone);
        modules.retain(|(module, _)| !alone.contains(&module.name));
    }
    let left_out = (total - modules.len()) as u64;
    Ok(Survey { modules, left_out })
}

/// The kernel's own lists of a tree.
pub(super) fn lists(tree: &dyn ModuleTree) -> Result<KernelLists, KernelError> {
    Ok(KernelLists {
        order: tree.index("modules.order")?,
        builtin: tree.index("modules.builtin")?,
        builtin_modinfo: tree.index("modules.builtin.modinfo")?,
    })
}

struct Surveyor<'a> {
    tree: &'a dyn ModuleTree,
    release: &'a str,
    spool: Spool,
}

impl Surveyor<'_> {
    fn module(
        &mut self,
        stored: &str,
        path: &str,
        watch: &Watch<'_>,
    ) -> Result<(IndexedModule, Spooled), KernelError> {
        let name = module_name(path);
        let (bytes, packed) = self.tree.unpacked(stored, watch.cancel())?;
        let info = ModInfo::parse(&name, &bytes)?;
        if let Some(built_for) = info
            .release
            .as_deref()
            .filter(|other| *other != self.release)
        {
            let why = format!(
                "it was built for kernel {built_for}, the image is {}",
                self.release
            );
            return Err(broken(&name, why));
        }
        let symbols = exported_symbols(&name, &bytes)?;
        // What lies in a file of ours as it is wanted needs no second place.
        let content = match self.tree.spooled(stored).filter(|_| !packed) {
            Some(place) => place,
            None => self.spool.append(&bytes)?,
        };
        let module = IndexedModule {
            path: path.to_owned(),
            name,
            info,
            symbols,
        };
        Ok((module, content))
    }
}

/// The path that a module has once it is unpacked. It becomes a path of the guest and a word of text files.
fn unpacked_path(stored: &str) -> Result<&str, KernelError> {
    let path = PACKED.iter().find_map(|ending| stored.strip_suffix(ending));
    let path = path.unwrap_or(stored);
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.len() <= NAME_MAX_BYTES
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b':')
    };
    match path.split('/').all(is_name) {
        true => Ok(path),
        false => Err(broken(
            &stored.escape_debug().to_string(),
            "no module has such a name",
        )),
    }
}

fn broken(module: &str, why: impl Into<String>) -> KernelError {
    KernelError::Module {
        module: module.to_owned(),
        why: why.into(),
    }
}
