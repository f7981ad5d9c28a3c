//! Check that every command works from here: everything is used, removed, made again under its name, and removed.

use banger_api::vm::{NetStack, RestartPolicy, VmState};
use banger_ops::{HostResult, plans};
use banger_store::{Owner, VmRecord, claim, image, kernel, layer};

use crate::daemon::Daemon;
use crate::requests::From;
use crate::{settled, stray};

/// Commands that do not work, one line each. Empties the machine.
pub(crate) fn failures(daemon: &Daemon) -> Vec<String> {
    let mut failed = Vec::new();
    daemon.cancel_what_comes(false);
    daemon.machine.world().power_stays = true;
    daemon.machine.world().manners.clear();
    daemon.machine.world().files.capacity = usize::MAX;
    if let Err(error) = everything(daemon, &mut failed) {
        failed.push(format!("the store cannot be read: {}", error.message));
    }
    failed
}

/// Source of kernels that were taken from the roots of VMs.
const OF_ROOT: &str = "the root of VM ";

fn check(failed: &mut Vec<String>, what: &str, name: &str, result: HostResult<()>) {
    if let Err(error) = result {
        failed.push(format!("{what} {name} fails: {}", error.message));
    }
}

fn everything(daemon: &Daemon, failed: &mut Vec<String>) -> HostResult<()> {
    // The next command of a VM retries its unfinished work; the periodic upkeep does so for files.
    daemon.upkeep();
    for image in daemon.read(plans::superseded)? {
        failed.push(format!("image {} stays without a VM", image.name));
    }
    let used = daemon.read(layer::used)?;
    for (_, owner) in daemon.read(claim::list)? {
        if let Ok(Owner::Layer(id)) = owner.parse()
            && !used.contains_key(&id.to_string())
        {
            failed.push(format!("layer {id} stays without a user"));
        }
    }
    let vms = daemon.vms()?;
    for kernel in daemon.read(kernel::list)? {
        let boots = |vm: &VmRecord| vm.kernel_digest == kernel.digest;
        if kernel.source.starts_with(OF_ROOT) && !vms.iter().any(boots) {
            failed.push(format!("kernel {} stays without a VM", kernel.name));
        }
    }
    for vm in vms {
        check(
            failed,
            "settle",
            vm.name.as_str(),
            daemon.control.runner().settle(vm.id),
        );
    }
    // Two VMs may publish the same port as long as only one of them runs.
    for vm in daemon.vms()? {
        if vm.state == VmState::Running {
            check(
                failed,
                "stop",
                vm.name.as_str(),
                daemon.stop(vm.name.as_str()),
            );
        }
    }
    for vm in daemon.vms()? {
        let name = vm.name.as_str();
        if vm.state == VmState::Deleting {
            check(failed, "delete", name, daemon.delete(name));
            continue;
        }
        if daemon.machine.world().ledger.strange.contains(&vm.id) {
            // What is not understood can be ended and deleted, and nothing else.
            if daemon.start_vm(name).is_ok() {
                failed.push(format!("VM {name} cannot be read and starts all the same"));
            }
            check(failed, "kill", name, daemon.kill(name, 9));
            continue;
        }
        check(failed, "start", name, daemon.start_vm(name));
        check(failed, "stop", name, daemon.stop(name));
        check(failed, "start again", name, daemon.start_vm(name));
        check(failed, "kill", name, daemon.kill(name, 9));
    }
    check(failed, "sweep", "what nothing claims", daemon.sweep());
    failed.extend(stray::left(&daemon.machine.world()));
    failed.extend(settled::violations(daemon));
    let (mut images, mut kernels) = (daemon.read(image::list)?, daemon.read(kernel::list)?);
    // Superseded images are removed with their VMs, and so are kernels of their roots.
    images.retain(|image| !image.superseded);
    kernels.retain(|kernel| !kernel.of_root);
    for vm in daemon.vms()? {
        check(
            failed,
            "delete",
            vm.name.as_str(),
            daemon.delete(vm.name.as_str()),
        );
    }
    if let Some((image, kernel)) = images.first().zip(kernels.first()) {
        let from = From {
            image: image.name.as_str(),
            kernel: Some(kernel.name.as_str()),
            grown: false,
            port: Some(8080),
            stack: NetStack::Own,
            restart: RestartPolicy::No,
            start: false,
            own_kernel: false,
        };
        // The same names and the same port again.
        for name in ["a", "b"] {
            check(
                failed,
                "create",
                name,
                daemon.create(name, &from).map(|_| ()),
            );
            check(failed, "start", name, daemon.start_vm(name));
            check(failed, "delete", name, daemon.delete(name));
        }
    }
    for round in ["delete", "delete again"] {
        for image in daemon.read(image::list)? {
            let name = image.name.as_str();
            check(failed, round, name, daemon.delete_image(name));
        }
        for kernel in daemon.read(kernel::list)? {
            let name = kernel.name.as_str();
            check(failed, round, name, daemon.delete_kernel(name));
        }
        if round == "delete" {
            for (name, content) in [("i1", "debian"), ("i2", "alpine"), ("i3", "debian")] {
                check(failed, "build", name, daemon.build(name, content, false));
                check(failed, "import", name, daemon.import(name, content));
            }
        }
    }
    nothing_left(daemon, failed)
}

fn nothing_left(daemon: &Daemon, failed: &mut Vec<String>) -> HostResult<()> {
    failed.extend(settled::violations(daemon));
    for (claim, owner) in daemon.read(banger_store::claim::list)? {
        failed.push(format!("{} is left, claimed by {owner}", claim.resource));
    }
    let world = daemon.machine.world();
    for root in crate::machine::ROOTS {
        for path in world.files.list(std::path::Path::new(root)) {
            failed.push(format!("{} is left", path.display()));
        }
    }
    Ok(())
}
