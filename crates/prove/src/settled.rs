//! Rules that hold at rest: after a recovery, and when every request has been answered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use banger_api::operation::OperationState;
use banger_api::vm::{RestartPolicy, VmState};
use banger_api::{ExitCause, VmId};
use banger_ops::{HostResult, Plan, plans, policy};
use banger_store::{
    CheckpointRecord, Claim, ClaimKind, VmRecord, checkpoint, claim, image, kernel, operation, vm,
};

use crate::content::read_through;
use crate::daemon::Daemon;
use crate::events;
use crate::fs::Content;
use crate::layout;
use crate::machine::World;
use crate::process::{Manners, Net};

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
    // A daemon that begins looks at all of them.
    daemon.machine.world().ledger.lack_nets.clear();
    let mut wrong = match daemon.recover() {
        Ok(recovered) => reported(daemon, recovered.failed),
        Err(error) => vec![format!("recovery fails: {}", error.message)],
    };
    let after = alive(daemon);
    for name in before.difference(&after) {
        wrong.push(format!("VM {name} ran and did not survive the daemon"));
    }
    wrong
}

/// Findings that recovery should not have to report. Of what cannot be read it must speak, which is checked elsewhere.
fn reported(daemon: &Daemon, failed: Vec<String>) -> Vec<String> {
    let strange = daemon.machine.world().ledger.strange.clone();
    let vms = daemon.vms().unwrap_or_default();
    let names = vms.iter().filter(|vm| strange.contains(&vm.id));
    let mut known: Vec<String> = names.map(|vm| format!("VM {}:", vm.name)).collect();
    if let Some((plan, _)) = &daemon.machine.world().ledger.newer {
        known.push(format!("plan {plan} "));
    }
    let (spoken, other): (Vec<String>, Vec<String>) = failed
        .into_iter()
        .partition(|failed| known.iter().any(|known| failed.starts_with(known)));
    let mut wrong: Vec<String> = other
        .into_iter()
        .map(|failed| format!("recovery reports: {failed}"))
        .collect();
    if spoken.is_empty() && !known.is_empty() {
        wrong.push("recovery says nothing of what cannot be read".to_owned());
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
    if daemon.machine.tells_events {
        wrong.append(&mut events::violations(daemon, &vms, &images, &kernels)?);
    }
    let mut owners: BTreeSet<String> = vms.iter().map(|vm| format!("vm:{}", vm.id)).collect();
    owners.extend(images.iter().map(|i| format!("image:{}", i.digest)));
    owners.extend(kernels.iter().map(|k| format!("kernel:{}", k.digest)));
    // Those that nobody needs any more are the upkeep's.
    let of_layers = claims.iter().map(|(_, owner)| owner);
    owners.extend(
        of_layers
            .filter(|owner| owner.starts_with("layer:"))
            .cloned(),
    );
    let mut checkpoints = Vec::new();
    for vm in &vms {
        checkpoints.extend(daemon.read(|db| checkpoint::of_vm(db, vm.id))?);
    }
    let mut running: BTreeMap<String, bool> = BTreeMap::new();
    for vm in &vms {
        running.insert(format!("vm:{}", vm.id), vm.state == VmState::Running);
    }
    // What runs of a VM that cannot be read runs on until somebody asks for its end.
    let strange: Vec<VmId> = daemon
        .machine
        .world()
        .ledger
        .strange
        .iter()
        .copied()
        .collect();
    let strange_owners: BTreeSet<String> = strange.iter().map(|id| format!("vm:{id}")).collect();
    for (claim, owner) in &claims {
        let (kind, resource) = (claim.kind.as_str(), &claim.resource);
        if !owners.contains(owner) {
            wrong.push(format!(
                "{kind} {resource} is claimed by {owner}, which is gone"
            ));
        }
        let strange = strange_owners.contains(owner);
        let for_life = matches!(claim.kind, ClaimKind::Directory | ClaimKind::Address);
        if !for_life && !strange && running.get(owner) != Some(&true) {
            wrong.push(format!(
                "{kind} {resource} is still claimed by {owner}, which does not run"
            ));
        }
    }
    addresses(&vms, &claims, wrong);
    journal(daemon, wrong)?;
    let world = daemon.machine.world();
    for image in &images {
        files_of(&world, &layout::image_dir(&image.digest), "base.img", wrong);
    }
    let wakes = world.manners.get("template") != Some(&Manners::NeverWakes);
    for template in world.files.list(Path::new(layout::TEMPLATES)) {
        if !wakes {
            wrong.push(format!(
                "{} is a template that does not wake",
                template.display()
            ));
        }
        for file in ["memory", "state", "template.json"] {
            let path = template.join(file);
            if !world.whole(&path) {
                wrong.push(format!("a template has no whole {}", path.display()));
            }
        }
    }
    for kernel in &kernels {
        files_of(
            &world,
            &layout::kernel_dir(&kernel.digest),
            "vmlinux",
            wrong,
        );
    }
    for checkpoint in &checkpoints {
        one_checkpoint(&world, checkpoint, wrong);
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
    // A VM that cannot be read does not count as running, and its VMM lives until somebody asks for its end.
    let of_strange = world.ledger.strange.iter();
    let of_strange: BTreeSet<_> = of_strange
        .map(|id| layout::files(*id).run.to_path_buf())
        .collect();
    let living = world
        .processes
        .launches()
        .filter(|(_, launch)| !world.ledger.strays.contains(&launch.dir))
        .filter(|(_, launch)| !of_strange.contains(&launch.dir))
        .count();
    if living != expected {
        wrong.push(format!("{living} VMMs live, {expected} VMs run"));
    }
    let lacks = &world.ledger.lack_nets;
    let wants_net = |vm: &&VmRecord| {
        vm.state == VmState::Running && vm.has_net_process() && !lacks.contains(&vm.id)
    };
    let expected = vms.iter().filter(wants_net).count();
    let nets = world.processes.nets().map(|(_, net)| &net.dir);
    let nets = nets.filter(|dir| !world.ledger.strays.contains(*dir) && !of_strange.contains(*dir));
    let living = nets.count();
    if living != expected {
        wrong.push(format!(
            "{living} network processes live, {expected} VMs have one"
        ));
    }
    Ok(())
}

/// Checks that no plan is unfinished, no operation runs, and finished plans were done or undone as a whole.
fn journal(daemon: &Daemon, wrong: &mut Vec<String>) -> HostResult<()> {
    newer(daemon, wrong)?;
    let known = daemon.machine.world().ledger.newer.clone();
    for plan in daemon.read(operation::unfinished_plans)? {
        if known.as_ref().is_some_and(|(newer, _)| *newer == plan.id) {
            continue;
        }
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
            "SELECT plan, (SELECT group_concat(n || ' ' || state) FROM steps WHERE steps.plan = plans.id)
             FROM plans WHERE plan LIKE '%\"direction\":\"back\"%' AND
             (SELECT count(DISTINCT state) FROM steps WHERE steps.plan = plans.id) > 1",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    })?;
    for (plan, steps) in mixed {
        let plan: Result<Plan, _> = serde_json::from_str(&plan);
        wrong.push(format!(
            "a finished plan is half undone: {:?} ({steps})",
            plan.map(|p| p.kind)
        ));
    }
    Ok(())
}

/// A plan of a newer build stays as it is, for the build that understands it, as long as its VM is there.
fn newer(daemon: &Daemon, wrong: &mut Vec<String>) -> HostResult<()> {
    let (known, strange) = {
        let world = daemon.machine.world();
        (world.ledger.newer.clone(), world.ledger.strange.clone())
    };
    let Some((plan, before)) = known else {
        return Ok(());
    };
    if !daemon.vms()?.iter().any(|vm| strange.contains(&vm.id)) {
        return Ok(());
    }
    let journal = daemon.read(|db| operation::steps(db, plan))?;
    let now: Vec<_> = journal.iter().map(|step| (step.n, step.state)).collect();
    let unfinished = daemon.read(operation::unfinished_plans)?;
    if now != before || !unfinished.iter().any(|record| record.id == plan) {
        wrong.push("a plan of a newer build was gone on with".to_owned());
    }
    Ok(())
}

/// Every VM that runs on banger's own network has an address of its own, and no other VM's.
fn addresses(vms: &[VmRecord], claims: &[(Claim, String)], wrong: &mut Vec<String>) {
    let runs = |vm: &&VmRecord| vm.state == VmState::Running && vm.has_net_process();
    for vm in vms.iter().filter(runs) {
        let owner = format!("vm:{}", vm.id);
        let is_claimed = |address: &std::net::Ipv4Addr| {
            claims.iter().any(|(claim, of)| {
                claim.kind == ClaimKind::Address
                    && claim.resource == address.to_string()
                    && *of == owner
            })
        };
        if !vm.network.address.as_ref().is_some_and(is_claimed) {
            wrong.push(format!("VM {} has no address of its own", vm.name));
        }
    }
}

/// The ports at which a network process listens are those of its VM.
fn ports(vm: &VmRecord, net: &Net, wrong: &mut Vec<String>) {
    let wanted = vm.published().iter();
    let wanted: BTreeSet<_> = wanted.map(|port| (port.host_ip, port.host_port)).collect();
    let found: BTreeSet<_> = net.ports.iter().copied().collect();
    if found != wanted {
        let name = &vm.name;
        wrong.push(format!(
            "VM {name} listens at {found:?}, and its record says {wanted:?}"
        ));
    }
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
    let (name, files) = (&vm.name, layout::files_of(vm));
    let doomed = world.ledger.doomed.contains(&vm.id);
    let strange = world.ledger.strange.contains(&vm.id);
    if strange && !doomed && !matches!(vm.state, VmState::Error | VmState::Stopped) {
        wrong.push(format!("VM {name} cannot be read and is {}", vm.state));
    }
    match vm.state {
        _ if strange => {}
        VmState::Running => {
            let lives = plans::identity(vm).is_some_and(|vmm| world.processes.same(&vmm).is_some());
            if !lives {
                wrong.push(format!("VM {name} is running without a VMM"));
            }
            let net = vm.network.process.as_ref();
            let process = net.and_then(|net| world.processes.same_net(net));
            if let Some(process) = process {
                ports(vm, process, wrong);
            }
            let serves = process.is_some();
            if vm.has_net_process() && !serves && !world.ledger.lack_nets.contains(&vm.id) {
                wrong.push(format!("VM {name} is running without its network process"));
            }
        }
        VmState::Starting | VmState::Stopping => {
            wrong.push(format!("VM {name} is left in state {}", vm.state));
        }
        VmState::Deleting if !doomed => {
            wrong.push(format!("VM {name} is deleting, which nobody asked for"));
        }
        _ if vm.network.process.is_some() => {
            wrong.push(format!(
                "VM {name} is {} and has a network process on record",
                vm.state
            ));
        }
        _ if vm.vmm.is_some() => {
            wrong.push(format!("VM {name} is {} and has a VMM on record", vm.state));
        }
        _ => {}
    }
    if vm.state == VmState::Deleting {
        return;
    }
    cause_of_end(world, vm, wrong);
    for path in [
        files.system_overlay(),
        files.ssh_host_key(),
        files.work_disk(),
    ] {
        if !world.whole(&path) {
            wrong.push(format!("VM {name} has no whole {}", path.display()));
        }
    }
    size_of_disk(world, vm, wrong);
    let memory = world.files.exists(&files.suspended());
    if memory && vm.state == VmState::Running {
        wrong.push(format!(
            "VM {name} could go on a second time from its saved memory"
        ));
    }
    let launch = plans::identity(vm).and_then(|vmm| world.processes.same(&vmm).cloned());
    if let Some(launch) = &launch {
        for disk in [files.system_overlay(), files.work_disk()] {
            if !launch.disks.contains(&disk) {
                let disk = disk.display();
                wrong.push(format!("VM {name} does not write to its disk {disk}"));
            }
        }
        // While a layer is made of them they have a name there.
        let frozen = |disk: &&PathBuf| world.files.links(disk) > 1;
        if vm.disks.pending.is_none()
            && let Some(disk) = launch.disks.iter().find(frozen)
        {
            let disk = disk.display();
            wrong.push(format!("VM {name} writes to {disk}, which is kept"));
        }
    }
    let still = launch.is_some_and(|launch| launch.still) && !world.ledger.may_stand_still;
    if vm.state == VmState::Running && still {
        wrong.push(format!(
            "the guest of VM {name} stands still, and nobody asked for it"
        ));
    }
    if world.files.exists(&files.woken_memory()) {
        wrong.push(format!("VM {name} keeps a copy of a template's memory"));
    }
    let expected = world.ledger.work.get(&vm.id).copied().flatten();
    let mut work = vec![files.work_disk()];
    for id in vm.disks.layers.iter().rev() {
        let layer = layout::layer(*id);
        if !world.whole(&layer.system()) || !world.whole(&layer.work()) {
            wrong.push(format!("VM {name} has no whole layer {id}"));
        }
        work.push(layer.work());
    }
    let found = read_through(world, &work);
    if let (Some(expected), Some(found)) = (expected, found)
        && found != Content::Whole(expected)
    {
        wrong.push(format!("VM {name} has lost what was on its work disk"));
    }
}

/// All that a checkpoint has kept is there.
fn one_checkpoint(world: &World, checkpoint: &CheckpointRecord, wrong: &mut Vec<String>) {
    let name = &checkpoint.name;
    let mut work = Vec::new();
    for id in checkpoint.layers.iter().rev() {
        let layer = layout::layer(*id);
        if !world.whole(&layer.system()) || !world.whole(&layer.work()) {
            wrong.push(format!("checkpoint {name} has no whole layer {id}"));
        }
        work.push(layer.work());
    }
    let expected = world.ledger.checkpoints.get(&checkpoint.id);
    let found = read_through(world, &work);
    if let (Some(expected), Some(found)) = (expected, found)
        && found != Content::Whole(*expected)
    {
        wrong.push(format!("checkpoint {name} has lost what it has kept"));
    }
}

/// A work disk has the size that its user was told, in the guest too, unless that is to come with the next start.
fn size_of_disk(world: &World, vm: &VmRecord, wrong: &mut Vec<String>) {
    let (name, bytes) = (&vm.name, vm.disk_bytes);
    if world
        .ledger
        .sizes
        .get(&vm.id)
        .is_some_and(|told| bytes < *told)
    {
        wrong.push(format!("VM {name} has lost the size of its work disk"));
    }
    let launch = plans::identity(vm).and_then(|vmm| world.processes.same(&vmm).cloned());
    let now = vm.state == VmState::Running && !vm.restart_needed;
    if let Some(launch) = launch.filter(|_| now)
        && launch.work_bytes < bytes
    {
        wrong.push(format!(
            "VM {name} runs with a smaller work disk than is told"
        ));
    }
}

/// A VMM that ended by itself ended for a reason, which its VM's record keeps.
fn cause_of_end(world: &World, vm: &VmRecord, wrong: &mut Vec<String>) {
    let Some(cause) = world.ledger.ends.get(&vm.id) else {
        return;
    };
    if let Some(reboots) = world.ledger.reboots.get(&vm.id) {
        return reboot(world, vm, *reboots, wrong);
    }
    let expected = cause.as_ref().filter(|_| !world.powered_down);
    let kept = match (expected, &vm.exit) {
        (Some(expected), Some(kept)) => expected == kept,
        (None, kept) => kept.is_some(),
        (Some(_), None) => false,
    };
    // Who is started again has no end any more, whatever becomes of that start.
    let stays = vm.restart == RestartPolicy::No && vm.state != VmState::Running;
    if stays && !kept {
        wrong.push(format!("VM {} has lost why its VMM ended", vm.name));
    }
}

/// A VM whose guest rebooted runs again, unless that failed and its record says so; one that rebooted too often does not.
fn reboot(world: &World, vm: &VmRecord, reboots: usize, wrong: &mut Vec<String>) {
    let name = &vm.name;
    let runs = vm.state == VmState::Running;
    let failed = world.struck.keys().any(|mode| !mode.ends_the_daemon());
    if failed || world.powered_down {
        // What failed, or the end of the host's, came between; but then something is told.
        if !runs && vm.error.is_none() {
            wrong.push(format!("VM {name} does not run, and nothing is told"));
        }
        return;
    }
    let too_often = reboots >= policy::TOO_MANY_REBOOTS;
    if too_often && runs {
        wrong.push(format!("VM {name} reboots for ever"));
    }
    if too_often && vm.exit != Some(ExitCause::GuestReset) {
        wrong.push(format!("VM {name} has lost why its VMM ended"));
    }
    if !too_often && !runs {
        wrong.push(format!(
            "the guest of VM {name} rebooted, and it is {}",
            vm.state
        ));
    }
}
