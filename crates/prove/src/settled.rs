//! Rules that hold at rest: after a recovery, and when every request has been answered.

use banger_api::operation::OperationState;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use banger_api::vm::VmState;
use banger_ops::{HostResult, Plan, plans};
use banger_store::{ClaimKind, VmRecord, claim, image, kernel, operation, vm};

use crate::daemon::Daemon;
use crate::fs::Content;
use crate::layout;
use crate::machine::World;

/// All current violations, one line each.
pub(crate) fn violations(daemon: &Daemon) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(error) = look(daemon, &mut wrong) {
        wrong.push(format!("the store cannot be read: {}", error.message));
    }
    crate::instant::check(&daemon.machine);
    wrong.append(&mut daemon.machine.world().broken);
    wrong
}

/// Recovers, and returns its failures and the running VMs that it ended without need.
pub(crate) fn recover(daemon: &Daemon) -> Vec<String> {
    let before = alive(daemon);
    let mut wrong = match daemon.recover() {
        Ok(recovered) => recovered
            .failed
            .into_iter()
            .map(|failed| format!("recovery reports: {failed}"))
            .collect(),
        Err(error) => vec![format!("recovery fails: {}", error.message)],
    };
    let after = alive(daemon);
    for name in before.difference(&after) {
        wrong.push(format!("VM {name} ran and did not survive the daemon"));
    }
    wrong
}

/// Names of running VMs with a living VMM.
fn alive(daemon: &Daemon) -> BTreeSet<String> {
    let vms = daemon.vms().unwrap_or_default();
    let world = daemon.machine.world();
    let lives = |vm: &VmRecord| {
        vm.state == VmState::Running
            && plans::identity(vm).is_some_and(|vmm| world.processes.same(&vmm).is_some())
    };
    vms.iter()
        .filter(|vm| lives(vm))
        .map(|vm| vm.name.to_string())
        .collect()
}

fn look(daemon: &Daemon, wrong: &mut Vec<String>) -> HostResult<()> {
    let vms = daemon.read(vm::list)?;
    let images = daemon.read(image::list)?;
    let kernels = daemon.read(kernel::list)?;
    let claims = daemon.read(claim::list)?;
    let mut owners: BTreeSet<String> = vms.iter().map(|vm| format!("vm:{}", vm.id)).collect();
    owners.extend(images.iter().map(|i| format!("image:{}", i.digest)));
    owners.extend(kernels.iter().map(|k| format!("kernel:{}", k.digest)));
    let mut running: BTreeMap<String, bool> = BTreeMap::new();
    for vm in &vms {
        running.insert(format!("vm:{}", vm.id), vm.state == VmState::Running);
    }
    for (claim, owner) in &claims {
        let (kind, resource) = (claim.kind.as_str(), &claim.resource);
        if !owners.contains(owner) {
            wrong.push(format!(
                "{kind} {resource} is claimed by {owner}, which is gone"
            ));
        }
        if claim.kind != ClaimKind::Directory && running.get(owner) != Some(&true) {
            wrong.push(format!(
                "{kind} {resource} is still claimed by {owner}, which does not run"
            ));
        }
    }
    journal(daemon, wrong)?;
    let world = daemon.machine.world();
    for image in &images {
        files_of(&world, &layout::image_dir(&image.digest), "base.img", wrong);
    }
    for kernel in &kernels {
        files_of(
            &world,
            &layout::kernel_dir(&kernel.digest),
            "vmlinux",
            wrong,
        );
    }
    for vm in &vms {
        one_vm(&world, vm, wrong);
        match images.iter().find(|image| image.name == vm.image) {
            Some(image) if image.digest == vm.image_digest => {}
            Some(_) => wrong.push(format!("VM {} is given another image", vm.name)),
            None => wrong.push(format!("VM {} has lost its image", vm.name)),
        }
        if !kernels
            .iter()
            .any(|kernel| kernel.digest == vm.kernel_digest)
        {
            wrong.push(format!("VM {} has lost its kernel", vm.name));
        }
    }
    for name in &world.ledger.names {
        if !vms.iter().any(|vm| vm.name.as_str() == name) {
            wrong.push(format!(
                "VM {name} is gone, and the one that was to replace it, too"
            ));
        }
    }
    for id in world.ledger.work.keys() {
        if !world.ledger.doomed.contains(id) && !vms.iter().any(|vm| vm.id == *id) {
            wrong.push(format!("the sandbox {id} is lost"));
        }
    }
    let expected = vms.iter().filter(|vm| vm.state == VmState::Running).count();
    let living = world
        .processes
        .launches()
        .filter(|(_, launch)| !world.ledger.strays.contains(&launch.dir))
        .count();
    if living != expected {
        wrong.push(format!("{living} VMMs live, {expected} VMs run"));
    }
    Ok(())
}

/// Checks that no plan is unfinished, no operation runs, and finished plans were done or undone as a whole.
fn journal(daemon: &Daemon, wrong: &mut Vec<String>) -> HostResult<()> {
    for plan in daemon.read(operation::unfinished_plans)? {
        let plan: Result<Plan, _> = serde_json::from_str(&plan.plan);
        wrong.push(format!("a plan is unfinished: {:?}", plan.map(|p| p.kind)));
    }
    for op in daemon.read(|db| operation::operations(db, None, 200))? {
        // The next recovery writes an end that the store refused.
        if op.state == OperationState::Running && daemon.has_recovered() {
            wrong.push(format!(
                "operation {} of {:?} is still running",
                op.kind, op.vm_name
            ));
        }
    }
    let mixed = daemon.read(|db| {
        let mut statement = db.prepare_cached(
            "SELECT plan FROM plans WHERE plan LIKE '%\"direction\":\"back\"%' AND
             (SELECT count(DISTINCT state) FROM steps WHERE steps.plan = plans.id) > 1",
        )?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    })?;
    for plan in mixed {
        let plan: Result<Plan, _> = serde_json::from_str(&plan);
        wrong.push(format!(
            "a finished plan is half undone: {:?}",
            plan.map(|p| p.kind)
        ));
    }
    Ok(())
}

fn files_of(world: &World, dir: &Path, needed: &str, wrong: &mut Vec<String>) {
    let files = world.files.list(dir);
    if !files.iter().any(|path| path.ends_with(needed)) {
        wrong.push(format!("{} has no {needed}", dir.display()));
    }
    for path in files {
        let inside = world.files.list(&path);
        for file in std::iter::once(&path).chain(&inside) {
            if let Some((Content::Torn, _)) = world.files.file(file) {
                wrong.push(format!("{} is torn", file.display()));
            }
        }
    }
}

fn one_vm(world: &World, vm: &VmRecord, wrong: &mut Vec<String>) {
    let (name, files) = (&vm.name, layout::files(vm.id));
    let doomed = world.ledger.doomed.contains(&vm.id);
    match vm.state {
        VmState::Running => {
            let lives = plans::identity(vm).is_some_and(|vmm| world.processes.same(&vmm).is_some());
            if !lives {
                wrong.push(format!("VM {name} is running without a VMM"));
            }
        }
        VmState::Starting | VmState::Stopping => {
            wrong.push(format!("VM {name} is left in state {}", vm.state));
        }
        VmState::Deleting if !doomed => {
            wrong.push(format!("VM {name} is deleting, which nobody asked for"));
        }
        _ if vm.vmm.is_some() => {
            wrong.push(format!("VM {name} is {} and has a VMM on record", vm.state));
        }
        _ => {}
    }
    if vm.state == VmState::Deleting {
        return;
    }
    for path in [
        files.system_overlay(),
        files.ssh_host_key(),
        files.work_disk(),
    ] {
        if !world.whole(&path) {
            wrong.push(format!("VM {name} has no whole {}", path.display()));
        }
    }
    let expected = world.ledger.work.get(&vm.id).copied().flatten();
    let found = world.files.file(&files.work_disk());
    if let (Some(expected), Some((found, _))) = (expected, found)
        && found != Content::Whole(expected)
    {
        wrong.push(format!("VM {name} has lost what was on its work disk"));
    }
}
