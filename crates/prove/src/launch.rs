//! Start of a simulated VMM: its guest becomes reachable or does not.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::{ErrorCode, ExitCause, VmId};
use banger_control::vm::WORK;
use banger_engine::{Memory, VmmIdentity, VmmSpec};
use banger_ops::steps::{NetLaunch, NetStarted, Switched, TopOf};
use banger_ops::{GuestSetup, HostResult, TemplateFacts, TemplateFiles};

use crate::acting::failed;
use crate::content::{SIZE, content_of, cut};
use crate::fs::Content;
use crate::machine::{Extent, World};
use crate::process::Manners;

fn port_taken(world: &World, ports: &[(IpAddr, u16)]) -> bool {
    let of_vmms = world.processes.launches();
    let of_vmms = of_vmms.flat_map(|(_, launch)| launch.ports.iter());
    let of_nets = world.processes.nets();
    let mut bound = of_vmms.chain(of_nets.flat_map(|(_, net)| net.ports.iter()));
    bound.any(|port| ports.contains(port))
}

/// Starts a network process beside a VMM.
pub(crate) fn start_net(
    world: &mut World,
    launch: &NetLaunch,
    vmm: &VmmIdentity,
    extent: Extent,
) -> HostResult<NetStarted> {
    if world.processes.same(vmm).is_none() {
        return Err(failed(ErrorCode::VmmFailed, "the VMM is gone"));
    }
    if world.processes.nets().any(|(_, net)| net.dir == launch.dir) {
        let dir = launch.dir.display();
        world.broke(format!("two network processes run in {dir}"));
    }
    let ports = launch.config.publish.iter();
    let ports: Vec<_> = ports.map(|port| (port.host_ip, port.host_port)).collect();
    let taken = port_taken(world, &ports);
    let answers = extent == Extent::Whole;
    let identity = world.processes.start_net(launch, answers);
    Ok(NetStarted {
        identity,
        unpublished: taken
            .then(|| "a host port is taken".to_owned())
            .into_iter()
            .collect(),
    })
}

pub(crate) fn start(world: &mut World, spec: &VmmSpec, extent: Extent) -> HostResult<VmmIdentity> {
    let vmm_failed = |message: String| failed(ErrorCode::VmmFailed, message);
    if !world.files.exists(&spec.dir) {
        return Err(vmm_failed(format!("no directory {}", spec.dir.display())));
    }
    let mut needed: Vec<PathBuf> = spec.disks.iter().map(|disk| disk.path.clone()).collect();
    let below = spec.disks.iter().filter_map(|disk| disk.below.as_ref());
    needed.extend(below.flat_map(|below| below.layers.iter().cloned()));
    match &spec.memory {
        Memory::Saved { file, state } => needed.extend([file.clone(), state.clone()]),
        Memory::Suspended { state } => needed.push(state.clone()),
        Memory::Own | Memory::File { .. } => {
            needed.extend([spec.kernel.clone(), spec.initramfs.clone()]);
        }
    }
    for path in needed {
        match world.files.file(&path) {
            Some((Content::Whole(_), _)) => {}
            Some((Content::Torn, _)) => {
                world.broke(format!("a VMM is given the torn file {}", path.display()));
            }
            None => return Err(vmm_failed(format!("cannot open {}", path.display()))),
        }
    }
    for disk in spec.disks.iter().filter(|disk| !disk.read_only) {
        let locked = world
            .processes
            .launches()
            .any(|(_, launch)| launch.disks.contains(&disk.path));
        if locked {
            let message = format!("{} is locked by another VMM", disk.path.display());
            return Err(vmm_failed(message));
        }
    }
    if let banger_engine::NetSpec::User { publish, .. } = &spec.net {
        let ports: Vec<_> = publish.iter().map(|p| (p.host_ip, p.host_port)).collect();
        if port_taken(world, &ports) {
            return Err(failed(ErrorCode::InUse, "a host port is taken"));
        }
    }
    let somebody = |user: u32| {
        let mut launches = world.processes.launches();
        launches.any(|(_, launch)| launch.user == Some(user))
    };
    if spec.user.is_some_and(somebody) {
        world.broke(format!("two VMMs are the user {:?}", spec.user));
    }
    world.files.write(&spec.console_log, Content::Whole(0), 1)?;
    if let Memory::Suspended { state } = &spec.memory
        && extent == Extent::Whole
    {
        // As the real one: before the guest runs, and durably.
        world.files.remove_file(state)?;
        world.files.sync_dir(state.parent().unwrap_or(state));
    }
    if let Memory::File { file } = &spec.memory {
        // What a guest that runs has in it is nothing to wake from.
        world.files.write(file, Content::Torn, SIZE)?;
    }
    let manners = world
        .manners
        .get(&spec.vm_name)
        .copied()
        .unwrap_or(Manners::Good);
    let answers = extent == Extent::Whole;
    let vmm = world.processes.start(spec, manners, answers);
    let work = spec.disks.iter().find(|disk| disk.serial == WORK);
    let work = work.and_then(|disk| world.files.file(&disk.path));
    let bytes = work.map_or(0, |(_, bytes)| bytes);
    world.processes.has_work_disk_of(vmm.pid, bytes);
    if answers {
        for socket in [&vmm.control_socket, &vmm.channel_socket] {
            world.files.write(socket, Content::Whole(0), 0)?;
        }
    }
    Ok(vmm)
}

/// Shows a running guest its work disk with another size.
pub(crate) fn show_larger(
    world: &mut World,
    vmm: &VmmIdentity,
    disk: &Path,
    bytes: u64,
) -> HostResult<()> {
    let Some(launch) = world.processes.same(vmm) else {
        return Err(failed(ErrorCode::VmmFailed, "the VMM is gone"));
    };
    if launch.layered {
        // The VMM grows the file of a top itself.
        world.files.grow(disk, bytes)?;
    }
    let of_file = world.files.file(disk).map_or(0, |(_, bytes)| bytes);
    if of_file < bytes {
        world.broke(format!(
            "a guest is shown a disk of {bytes} bytes, and {} has {of_file}",
            disk.display()
        ));
    }
    world.processes.has_work_disk_of(vmm.pid, bytes);
    Ok(())
}

/// Writes the memory of a guest to a file that is there when it is whole and durable. The guest stands still then.
pub(crate) fn suspend(
    world: &mut World,
    vmm: &VmmIdentity,
    to: &Path,
    extent: Extent,
) -> HostResult<()> {
    stand_still(world, vmm, true)?;
    if extent == Extent::Part {
        return Ok(());
    }
    if let Err(full) = world
        .files
        .write(to, Content::Whole(content_of("memory")), SIZE)
    {
        world.files.remove_file(to)?;
        stand_still(world, vmm, false)?;
        return Err(full);
    }
    world.files.sync_file(to)?;
    world.files.sync_dir(to.parent().unwrap_or(to));
    Ok(())
}

/// Lets a guest write on over its disks, and write something.
pub(crate) fn switch_disks(
    world: &mut World,
    vm: VmId,
    vmm: &VmmIdentity,
    tops: &[TopOf],
    extent: Extent,
) -> HostResult<Switched> {
    if world.processes.same(vmm).is_none() || extent == Extent::Part {
        return Ok(Switched::Yes);
    }
    for top in tops {
        if !world.processes.switch_disk(vmm, &top.from, &top.to) {
            continue;
        }
        if crate::layout::work_disks(vm).contains(&top.to) {
            let user = world.random.next().max(1);
            let bytes = world.files.file(&top.to).map_or(SIZE, |(_, len)| len);
            world.files.write(&top.to, Content::Whole(user), bytes)?;
            world.files.sync_file(&top.to)?;
            if let Some(work) = world.ledger.work.get_mut(&vm) {
                *work = Some(user);
            }
        }
    }
    Ok(Switched::Yes)
}

/// Lets a guest stand still, or go on.
pub(crate) fn stand_still(world: &mut World, vmm: &VmmIdentity, still: bool) -> HostResult<()> {
    match world.processes.stand_still(vmm, still) {
        true => Ok(()),
        false => Err(failed(ErrorCode::VmmFailed, "the VMM is gone")),
    }
}

/// Saves the guest of a VMM, which ends.
pub(crate) fn save(
    world: &mut World,
    vmm: &VmmIdentity,
    to: &TemplateFiles,
    facts: &TemplateFacts,
    extent: Extent,
) -> HostResult<()> {
    if world.processes.same(vmm).is_none() {
        return Err(failed(ErrorCode::VmmFailed, "the VMM is gone"));
    }
    for file in to.all() {
        let content = content_of(&file.display().to_string());
        world.files.write(&file, cut(content, extent), SIZE)?;
    }
    if let Some(key) = world.ledger.wanted_template {
        world.ledger.templates.insert(key, facts.kernel);
    }
    world.processes.end(vmm.pid, None);
    Ok(())
}

pub(crate) fn guest_up(
    world: &mut World,
    vmm: &VmmIdentity,
    setup: &GuestSetup,
    deadline: Duration,
) -> HostResult<()> {
    let Some(launch) = world.processes.same(vmm) else {
        return Err(failed(ErrorCode::VmmFailed, "the VMM is gone"));
    };
    match launch.manners {
        Manners::NeverUp => {
            world.clock_us += u64::try_from(deadline.as_micros()).unwrap_or(0);
            Err(failed(
                ErrorCode::GuestUnreachable,
                "the guest is not reachable",
            ))
        }
        Manners::Panics => {
            world.processes.end(
                vmm.pid,
                Some(ExitCause::GuestPanic {
                    message: "planted".to_owned(),
                }),
            );
            Err(failed(
                ErrorCode::GuestUnreachable,
                "the guest's kernel panicked",
            ))
        }
        Manners::NeverWakes if launch.woke => {
            world.clock_us += u64::try_from(deadline.as_micros()).unwrap_or(0);
            Err(failed(
                ErrorCode::GuestUnreachable,
                "the guest does not wake",
            ))
        }
        Manners::Good | Manners::NeverDown | Manners::Stubborn | Manners::NeverWakes
            if setup.bare =>
        {
            Ok(())
        }
        Manners::Good | Manners::NeverDown | Manners::Stubborn | Manners::NeverWakes => {
            let vm = setup.vm;
            // Its user writes data that must not be lost, and syncs it.
            let of_work = |disk: &&PathBuf| crate::layout::work_disks(vm).contains(*disk);
            let Some(path) = launch.disks.iter().find(of_work).cloned() else {
                world.broke(format!("VM {vm} runs without its work disk"));
                return Ok(());
            };
            let user = world.random.next().max(1);
            let bytes = world.files.file(&path).map_or(SIZE, |(_, len)| len);
            world.files.write(&path, Content::Whole(user), bytes)?;
            world.files.sync_file(&path)?;
            if let Some(work) = world.ledger.work.get_mut(&vm) {
                *work = Some(user);
            }
            Ok(())
        }
    }
}
