//! From what is wanted to an ordered list of module files.

use std::collections::BTreeMap;

use crate::config::KernelConfig;
use crate::error::KernelError;
use crate::modules::catalogue::Catalogue;
use crate::modules::modinfo::ModInfo;
use crate::modules::tree::ModuleTree;
use crate::modules::wanted::{Availability, Capability, ONE_OF, WANTED, Wanted};
use crate::progress::Cancel;

/// Real plans have some 20.
const PLAN_MAX: usize = 256;
const CHAIN_MAX: usize = 64;

/// One module to load.
#[derive(Debug)]
pub(crate) struct PlannedModule {
    /// Its name, with underscores.
    pub(crate) name: String,
    /// Names of planned modules that must be loaded before it; soft dependencies included.
    pub(crate) after: Vec<String>,
    /// Its uncompressed ELF bytes.
    pub(crate) bytes: Vec<u8>,
}

/// What is to be loaded, and why the rest is not.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// In load order: every module after those it depends on.
    pub(crate) modules: Vec<PlannedModule>,
    /// How the kernel provides each capability.
    pub(crate) capabilities: BTreeMap<Capability, Availability>,
}

/// Chooses the modules that guests need. Without a tree, everything must be built in (or nobody knows).
pub(crate) fn plan(
    release: &str,
    tree: Option<&dyn ModuleTree>,
    config: Option<&KernelConfig>,
    cancel: Cancel<'_>,
) -> Result<Plan, KernelError> {
    let catalogue = tree.map(Catalogue::read).transpose()?.unwrap_or_default();
    let mut planner = Planner {
        release,
        tree,
        catalogue: &catalogue,
        plan: Plan::default(),
        chain: Vec::new(),
        cancel,
    };
    for wanted in WANTED {
        let availability = availability(wanted, &catalogue, config);
        if availability == Availability::Module {
            planner.add(wanted.module)?;
        }
        if availability == Availability::Absent && wanted.required {
            return Err(unsuitable(release, wanted.module, tree.is_some()));
        }
        planner
            .plan
            .capabilities
            .insert(wanted.capability, availability);
    }
    let plan = planner.plan;
    for (needed, group) in ONE_OF {
        if !group.iter().any(|capability| {
            plan.capabilities
                .get(capability)
                .is_some_and(|found| found.usable())
        }) {
            return Err(unsuitable(release, needed, tree.is_some()));
        }
    }
    Ok(plan)
}

fn availability(
    wanted: &Wanted,
    catalogue: &Catalogue,
    config: Option<&KernelConfig>,
) -> Availability {
    if catalogue.path(wanted.module).is_some() {
        return Availability::Module;
    }
    let by_tree = catalogue.is_builtin(wanted.module);
    let by_config = config.map(|config| config.is_builtin(wanted.option));
    match (by_tree, by_config) {
        (Some(true), _) | (_, Some(true)) => Availability::Builtin,
        (None, None) => Availability::Unknown,
        _ => Availability::Absent,
    }
}

fn unsuitable(release: &str, needed: &str, has_modules: bool) -> KernelError {
    let why = if has_modules {
        "it is neither built in nor among its modules"
    } else {
        "it is not built in, and no modules were given"
    };
    KernelError::Unsuitable {
        release: release.to_owned(),
        needed: needed.to_owned(),
        why: why.to_owned(),
    }
}

struct Planner<'a> {
    release: &'a str,
    tree: Option<&'a dyn ModuleTree>,
    catalogue: &'a Catalogue,
    plan: Plan,
    /// The modules whose dependencies are being added, outermost first.
    chain: Vec<String>,
    cancel: Cancel<'a>,
}

impl Planner<'_> {
    /// Adds a module after everything that it depends on.
    fn add(&mut self, module: &str) -> Result<(), KernelError> {
        if (self.cancel)() {
            return Err(KernelError::Cancelled);
        }
        if self.is_planned(module) {
            return Ok(());
        }
        let failed = |why: String| KernelError::Module {
            module: module.to_owned(),
            why,
        };
        if !module
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            // The name becomes a file name and a line of the initramfs's load order.
            return Err(KernelError::Module {
                module: module.escape_debug().to_string(),
                why: "no module has such a name".to_owned(),
            });
        }
        if self.chain.iter().any(|name| name == module) {
            return Err(failed(format!(
                "it depends on itself through {}",
                self.chain.join(", ")
            )));
        }
        if self.plan.modules.len() >= PLAN_MAX || self.chain.len() >= CHAIN_MAX {
            return Err(failed(format!(
                "more than {PLAN_MAX} modules, or {CHAIN_MAX} in a row, depend on each other"
            )));
        }
        let (Some(tree), Some(path)) = (self.tree, self.catalogue.path(module)) else {
            return Err(failed(format!(
                "{} needs it, but there is no such file",
                self.chain.last().map_or("", |name| name)
            )));
        };
        let bytes = tree.module(path, self.cancel)?;
        let info = ModInfo::parse(module, &bytes)?;
        if let Some(built_for) = info
            .release
            .as_ref()
            .filter(|built_for| *built_for != self.release)
        {
            return Err(failed(format!(
                "it was built for kernel {built_for}, the image is {}",
                self.release
            )));
        }
        let mut needs = self
            .catalogue
            .dependencies(module)
            .map_or_else(|| info.depends.clone(), <[String]>::to_vec);
        needs.retain(|name| {
            self.catalogue.path(name).is_some() || self.catalogue.is_builtin(name) != Some(true)
        });
        needs.extend(info.soft_depends.into_iter().filter(|name| {
            // A soft dependency is a wish: it may be missing, and it may point back.
            self.catalogue.path(name).is_some() && !self.chain.contains(name) && name != module
        }));
        self.chain.push(module.to_owned());
        for needed in &needs {
            self.add(needed)?;
        }
        self.chain.pop();
        needs.sort();
        needs.dedup();
        self.plan.modules.push(PlannedModule {
            name: module.to_owned(),
            after: needs,
            bytes,
        });
        Ok(())
    }

    fn is_planned(&self, module: &str) -> bool {
        self.plan
            .modules
            .iter()
            .any(|planned| planned.name == module)
    }
}
