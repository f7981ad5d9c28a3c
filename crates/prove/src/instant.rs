//! Rules that hold at every instant, in the middle of a plan as well: a power cut may come at any time.
//!
//! Claims are read again only after a commit: most actions are between two commits.

use std::collections::BTreeSet;
use std::path::Path;

use banger_store::{Claim, ClaimKind, Store, StoreError, claim};

use crate::machine::{Machine, ROOTS, RUN};
use crate::process::Launch;

/// Claims as a check looks them up.
pub(crate) type Claims = BTreeSet<(ClaimKind, String)>;

/// All claims of a store.
pub(crate) fn claims(store: &Store) -> Result<Claims, StoreError> {
    let claims = store.read(claim::list)?.into_iter();
    Ok(claims
        .map(|(Claim { kind, resource }, _owner)| (kind, resource))
        .collect())
}

/// Checks that everything on the machine, and everything that may exist after a power cut, has a claim.
pub(crate) fn check(machine: &Machine) {
    let Ok(claims) = machine.claims() else {
        machine.world().broke("the store cannot be read".to_owned());
        return;
    };
    let mut world = machine.world();
    let mut unclaimed = Vec::new();
    let mut need = |kind: ClaimKind, resource: String| {
        let key = (kind, resource);
        if !claims.contains(&key) {
            unclaimed.push(format!("{} {} is unclaimed", key.0.as_str(), key.1));
        }
    };
    let strays = world.ledger.strays.clone();
    for root in ROOTS {
        // A memory file system is empty after a power cut: there only existing names count.
        let possible = match root {
            RUN => world.files.list(Path::new(root)).into_iter().collect(),
            _ => world.files.list_possible(Path::new(root)),
        };
        for path in possible.into_iter().filter(|path| !strays.contains(path)) {
            need(ClaimKind::Directory, path.to_string_lossy().into_owned());
        }
    }
    let ours = |launch: &&Launch| !strays.contains(&launch.dir);
    for launch in world
        .processes
        .launches()
        .map(|(_, launch)| launch)
        .filter(ours)
    {
        need(ClaimKind::Process, launch.token.to_string());
        for (ip, port) in &launch.ports {
            need(ClaimKind::HostPort, format!("{ip}:{port}"));
        }
        if let Some(user) = launch.user {
            need(ClaimKind::User, user.to_string());
        }
    }
    let nets = world.processes.nets().map(|(_, net)| net);
    for net in nets.filter(|net| !strays.contains(&net.dir)) {
        need(ClaimKind::Process, net.token.clone());
        for (ip, port) in &net.ports {
            need(ClaimKind::HostPort, format!("{ip}:{port}"));
        }
    }
    for rule in unclaimed {
        world.broke(rule);
    }
    for pid in std::mem::take(&mut world.processes.wronged) {
        world.broke(format!("the stranger with pid {pid} was signalled"));
    }
}
