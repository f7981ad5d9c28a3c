//! The modules that each one needs, directly and through others, in the order in which modprobe takes it away: users first.

use std::collections::{BTreeMap, BTreeSet};

use super::IndexedModule;
use crate::error::KernelError;

/// Modules that one module may need, through others too; the kernel's largest chains have some 40.
const NEEDED_MAX: usize = 512;

/// Dependencies by a module's place in the list.
pub(super) struct Dependencies {
    direct: Vec<Vec<usize>>,
    /// Place in an order in which every module stands before those that it needs.
    rank: Vec<usize>,
}

impl Dependencies {
    /// Sorts the modules. A dependency that is not among them is built in, or was left out, and is no business of modprobe.
    pub(super) fn of(modules: &[IndexedModule]) -> Result<Self, KernelError> {
        let places: BTreeMap<&str, usize> = modules
            .iter()
            .zip(0..)
            .map(|(module, place)| (module.name.as_str(), place))
            .collect();
        let direct: Vec<Vec<usize>> = modules
            .iter()
            .map(|module| {
                let mut seen = BTreeSet::new();
                let names = module.info.depends.iter();
                let found = names.filter_map(|name| places.get(name.as_str()).copied());
                found.filter(|place| seen.insert(*place)).collect()
            })
            .collect();
        let rank = rank(&direct).map_err(|place| KernelError::Module {
            module: modules[place].name.clone(),
            why: "it depends on itself, through its own dependencies".to_owned(),
        })?;
        Ok(Self { direct, rank })
    }

    /// All that a module needs, users before what they use.
    pub(super) fn all_of(&self, place: usize) -> Result<Vec<usize>, KernelError> {
        let mut found = BTreeSet::new();
        let mut open = vec![place];
        while let Some(next) = open.pop() {
            for &needed in &self.direct[next] {
                if found.insert((self.rank[needed], needed)) {
                    open.push(needed);
                }
            }
            if found.len() > NEEDED_MAX {
                return Err(KernelError::TooLarge {
                    what: "the number of modules that one of them depends on".to_owned(),
                    limit: NEEDED_MAX as u64,
                });
            }
        }
        Ok(found.into_iter().map(|(_, place)| place).collect())
    }
}

/// The place of each in an order of users before what they use, found as depmod finds it; a place on a circle when there
/// is none.
fn rank(direct: &[Vec<usize>]) -> Result<Vec<usize>, usize> {
    let mut users = vec![0_usize; direct.len()];
    for needed in direct.iter().flatten() {
        users[*needed] += 1;
    }
    let mut free: Vec<usize> = (0..direct.len())
        .filter(|place| users[*place] == 0)
        .collect();
    let mut rank = vec![usize::MAX; direct.len()];
    let mut next = 0;
    while let Some(place) = free.pop() {
        rank[place] = next;
        next += 1;
        for &needed in &direct[place] {
            users[needed] -= 1;
            if users[needed] == 0 {
                free.push(needed);
            }
        }
    }
    match rank.iter().position(|rank| *rank == usize::MAX) {
        None => Ok(rank),
        Some(place) => Err(on_circle(direct, &rank, place)),
    }
}

/// Every module without a rank has a user without one: going from user to user ends on a circle.
fn on_circle(direct: &[Vec<usize>], rank: &[usize], mut place: usize) -> usize {
    let mut user = vec![place; direct.len()];
    for (other, needs) in direct.iter().enumerate() {
        if rank[other] == usize::MAX {
            needs.iter().for_each(|needed| user[*needed] = other);
        }
    }
    for _ in 0..direct.len() {
        place = user[place];
    }
    place
}
