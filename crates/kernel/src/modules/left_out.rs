//! Drivers for hardware that no guest has: half of what a distribution's kernel for any machine brings.

use std::collections::{BTreeMap, BTreeSet};

use super::index::IndexedModule;

/// Folders of drivers that are left out of large trees, and the names that users know them by.
const FOLDERS: [(&str, &str); 7] = [
    ("kernel/drivers/gpu/", "drivers/gpu"),
    ("kernel/drivers/iio/", "drivers/iio"),
    ("kernel/drivers/infiniband/", "drivers/infiniband"),
    ("kernel/drivers/media/", "drivers/media"),
    ("kernel/drivers/net/wireless/", "drivers/net/wireless"),
    ("kernel/drivers/staging/", "drivers/staging"),
    ("kernel/sound/", "sound"),
];
/// A tree of so many modules is one for any machine: Debian's kernel for clouds has 1,100, its general one 4,000.
pub(super) const LARGE_FROM: usize = 2000;

/// The folder that a module is left out with.
pub(super) fn folder(path: &str) -> Option<&'static str> {
    let found = FOLDERS.iter().find(|(start, _)| path.starts_with(start));
    found.map(|(_, name)| *name)
}

/// Names of the folders, for messages.
pub(super) fn folders() -> Vec<String> {
    FOLDERS.iter().map(|(_, name)| (*name).to_owned()).collect()
}

/// Names of all modules that need one of `gone`, through others too: they could not be loaded either.
pub(super) fn left_alone(modules: &[IndexedModule], gone: &BTreeSet<String>) -> BTreeSet<String> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for module in modules {
        for needed in &module.info.depends {
            users.entry(needed).or_default().push(&module.name);
        }
    }
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = gone.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        for user in users.get(name).into_iter().flatten() {
            if found.insert((*user).to_owned()) {
                open.push(user);
            }
        }
    }
    found
}
