//! Content of a module tree, by name.

use std::collections::{BTreeMap, BTreeSet};

use banger_module_index::module_name;

use crate::error::KernelError;
use crate::modules::tree::ModuleTree;

/// Dependencies of one module in `modules.dep`; real ones have at most some tens.
const DEPENDENCIES_MAX: usize = 512;

/// Modules and built-in drivers by name.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// Name to path.
    files: BTreeMap<String, String>,
    /// Name to names, from `modules.dep`; `None` when there is no such file.
    dependencies: Option<BTreeMap<String, Vec<String>>>,
    /// From `modules.builtin`; `None` when there is no such file.
    builtin: Option<BTreeSet<String>>,
}

impl Catalogue {
    /// Reads the indexes that the tree has.
    pub(crate) fn read(tree: &dyn ModuleTree) -> Result<Self, KernelError> {
        let mut files = BTreeMap::new();
        for path in tree.modules() {
            // Two files of one name: the first by path wins, as in depmod without configuration.
            files.entry(module_name(&path)).or_insert(path);
        }
        let dependencies = tree
            .index("modules.dep")?
            .map(|text| parse_dep(&text))
            .transpose()?;
        let builtin = tree.index("modules.builtin")?.map(|text| {
            let text = String::from_utf8_lossy(&text);
            text.lines().map(module_name).collect()
        });
        Ok(Self {
            files,
            dependencies,
            builtin,
        })
    }

    /// The path of a module's file.
    pub(crate) fn path(&self, module: &str) -> Option<&str> {
        self.files.get(module).map(String::as_str)
    }

    /// The names that `modules.dep` gives for a module; `None` when its own `.modinfo` must tell.
    pub(crate) fn dependencies(&self, module: &str) -> Option<&[String]> {
        self.dependencies.as_ref()?.get(module).map(Vec::as_slice)
    }

    /// Tells whether a driver is built in; `None` when the tree cannot tell.
    pub(crate) fn is_builtin(&self, module: &str) -> Option<bool> {
        self.builtin.as_ref().map(|names| names.contains(module))
    }
}

/// Lines `path: path path …`, the paths in no order that matters here (modules.dep(5)).
fn parse_dep(text: &[u8]) -> Result<BTreeMap<String, Vec<String>>, KernelError> {
    let text = String::from_utf8_lossy(text);
    let mut dependencies = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        let (module, needs) = line.split_once(':').ok_or_else(|| KernelError::Module {
            module: module_name(line.get(..80).unwrap_or(line)),
            why: "its line in modules.dep has no colon".to_owned(),
        })?;
        let needs: Vec<String> = needs.split_whitespace().map(module_name).collect();
        if needs.len() > DEPENDENCIES_MAX {
            return Err(KernelError::TooLarge {
                what: format!(
                    "the number of modules that {} depends on",
                    module_name(module)
                ),
                limit: DEPENDENCIES_MAX as u64,
            });
        }
        dependencies.insert(module_name(module), needs);
    }
    Ok(dependencies)
}
