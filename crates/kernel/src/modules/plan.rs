//! From what is wanted to an ordered list of module files.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::KernelConfig;
use crate::error::KernelError;
use crate::modules::catalogue::Catalogue;
use crate::modules::modinfo::ModInfo;
use crate::modules::tree::ModuleTree;
use crate::modules::wanted::{Availability, Capability, ONE_OF, WANTED, Wanted};
use banger_watch::Cancel;

/// Real plans have some 20.
const PLAN_MAX: usize = 256;
const CHAIN_MAX: usize = 64;

/// One module to load.
#[derive(Debug)]
pub(crate) struct PlannedModule {
    /// Its name, with underscores.
    pub(crate) name: String,
    /// Capabilities that it is loaded for, itself or as a dependency.
    pub(crate) serves: BTreeSet<Capability>,
    /// Its uncompressed ELF bytes.
    pub(crate) bytes: Vec<u8>,
}

/// Modules to be loaded, and the causes that others are not.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// In load order: every module after those it depends on.
    pub(crate) modules: Vec<PlannedModule>,
    /// Ways in which the kernel provides each capability.
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
        needs: BTreeMap::new(),
        cancel,
    };
    for wanted in WANTED {
        let availability = availability(wanted, &catalogue, config);
        if availability == Availability::Module {
            planner.add(wanted.module)?;
            planner.serve(wanted.module, wanted.capability);
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
    /// Needs of each planned module, soft dependencies included.
    needs: BTreeMap<String, Vec<String>>,
    cancel: Cancel<'a>,
}

impl Planner<'_> {
    /// Adds a module after everything that it depends on.
    fn add(&mut self, module: &str) -> Result<(), KernelError> {
        if self.needs.contains_key(module) {
            return Ok(());
        }
        self.check(module)?;
        let (bytes, info) = self.read(module)?;
        let needs = self.needs_of(module, info);
        self.chain.push(module.to_owned());
        for needed in &needs {
            self.add(needed)?;
        }
        self.chain.pop();
        self.needs.insert(module.to_owned(), needs);
        self.plan.modules.push(PlannedModule {
            name: module.to_owned(),
            serves: BTreeSet::new(),
            bytes,
        });
        Ok(())
    }

    /// Marks a planned module and all that it needs as serving a capability.
    fn serve(&mut self, module: &str, capability: Capability) {
        let planned = self
            .plan
            .modules
            .iter_mut()
            .find(|planned| planned.name == module);
        if planned.is_some_and(|planned| planned.serves.insert(capability)) {
            for needed in self.needs.get(module).cloned().unwrap_or_default() {
                self.serve(&needed, capability);
            }
        }
    }

    /// Tells whether a module may be added here: names and dependencies come from files that nobody has vouched for.
    fn check(&self, module: &str) -> Result<(), KernelError> {
        if (self.cancel)() {
            return Err(KernelError::Cancelled);
        }
        if !module
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            // The name becomes a file name and a line of the initramfs's load order.
            return Err(broken(
                &module.escape_debug().to_string(),
                "no module has such a name",
            ));
        }
        if self.chain.iter().any(|name| name == module) {
            return Err(broken(
                module,
                format!("it depends on itself through {}", self.chain.join(", ")),
            ));
        }
        if self.plan.modules.len() >= PLAN_MAX || self.chain.len() >= CHAIN_MAX {
            let why = format!(
                "more than {PLAN_MAX} modules, or {CHAIN_MAX} in a row, depend on each other"
            );
            return Err(broken(module, why));
        }
        Ok(())
    }

    fn read(&self, module: &str) -> Result<(Vec<u8>, ModInfo), KernelError> {
        let (Some(tree), Some(path)) = (self.tree, self.catalogue.path(module)) else {
            let needed_by = self.chain.last().map_or("a guest", |name| name);
            return Err(broken(
                module,
                format!("{needed_by} needs it, but there is no such file"),
            ));
        };
        let bytes = tree.module(path, self.cancel)?;
        let info = ModInfo::parse(module, &bytes)?;
        match &info.release {
            Some(built_for) if built_for != self.release => {
                let why = format!(
                    "it was built for kernel {built_for}, the image is {}",
                    self.release
                );
                Err(broken(module, why))
            }
            _ => Ok((bytes, info)),
        }
    }

    fn needs_of(&self, module: &str, info: ModInfo) -> Vec<String> {
        let hard = self
            .catalogue
            .dependencies(module)
            .map_or(info.depends, <[String]>::to_vec);
        let hard = hard.into_iter().filter(|name| {
            // A missing one stays, to be reported, unless it is known to be in the kernel.
            self.catalogue.path(name).is_some() || self.catalogue.is_builtin(name) != Some(true)
        });
        let soft = info.soft_depends.into_iter().filter(|name| {
            // A soft dependency is a wish: it may be missing, and it may point back.
            self.catalogue.path(name).is_some() && !self.chain.contains(name) && name != module
        });
        hard.chain(soft).collect()
    }
}

fn broken(module: &str, why: impl Into<String>) -> KernelError {
    KernelError::Module {
        module: module.to_owned(),
        why: why.into(),
    }
}
