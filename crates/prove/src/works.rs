//! Whether every command works from here: everything is used, removed, made again under its name, and removed.

use banger_api::vm::{RestartPolicy, VmState};
use banger_ops::{HostResult, plans};
use banger_store::{image, kernel};

use crate::control::Control;
use crate::living::From;
use crate::{settled, stray};

/// What does not work, one line each. Nothing is left of the machine afterwards.
pub(crate) fn failures(control: &Control<'_>) -> Vec<String> {
    let mut failed = Vec::new();
    control.uncancel();
    control.machine.world().manners.clear();
    control.machine.world().files.capacity = usize::MAX;
    if let Err(error) = everything(control, &mut failed) {
        failed.push(format!("the store cannot be read: {}", error.message));
    }
    failed
}

fn check(failed: &mut Vec<String>, what: &str, name: &str, result: HostResult<()>) {
    if let Err(error) = result {
        failed.push(format!("{what} {name} fails: {}", error.message));
    }
}

fn everything(control: &Control<'_>, failed: &mut Vec<String>) -> HostResult<()> {
    // What was given up half-way is tried again by the next command of its VM, and now and then for files.
    control.runner.settle_files();
    check(failed, "forget", "images", control.forget_left_over());
    for image in control.read(plans::superseded)? {
        failed.push(format!("image {} stays without a VM", image.name));
    }
    for vm in control.vms()? {
        check(
            failed,
            "settle",
            vm.name.as_str(),
            control.runner.settle(vm.id),
        );
    }
    // Two VMs may publish one port as long as one of them runs.
    for vm in control.vms()? {
        if vm.state == VmState::Running {
            check(
                failed,
                "stop",
                vm.name.as_str(),
                control.stop(vm.name.as_str()),
            );
        }
    }
    for vm in control.vms()? {
        let name = vm.name.as_str();
        if vm.state == VmState::Deleting {
            check(failed, "delete", name, control.delete(name));
            continue;
        }
        check(failed, "start", name, control.start(name));
        check(failed, "stop", name, control.stop(name));
        check(failed, "start again", name, control.start(name));
        check(failed, "kill", name, control.kill(name, 9));
    }
    check(
        failed,
        "sweep",
        "what nothing claims",
        stray::sweep(control),
    );
    failed.extend(stray::left(&control.machine.world()));
    failed.extend(settled::violations(control));
    let (mut images, kernels) = (control.read(image::list)?, control.read(kernel::list)?);
    // Those go with their VMs.
    images.retain(|image| !image.superseded);
    for vm in control.vms()? {
        check(
            failed,
            "delete",
            vm.name.as_str(),
            control.delete(vm.name.as_str()),
        );
    }
    if let Some((image, kernel)) = images.first().zip(kernels.first()) {
        let from = From {
            image: image.name.as_str(),
            kernel: kernel.name.as_str(),
            seeded: true,
            grown: false,
            port: Some(8080),
            restart: RestartPolicy::No,
        };
        // The same names and the same port again.
        for name in ["a", "b"] {
            check(
                failed,
                "create",
                name,
                control.create(name, &from).map(|_| ()),
            );
            check(failed, "start", name, control.start(name));
            check(failed, "delete", name, control.delete(name));
        }
    }
    for round in ["delete", "delete again"] {
        for image in control.read(image::list)? {
            let name = image.name.as_str();
            check(failed, round, name, control.delete_image(name));
        }
        for kernel in control.read(kernel::list)? {
            let name = kernel.name.as_str();
            check(failed, round, name, control.delete_kernel(name));
        }
        if round == "delete" {
            for (name, content) in [("i1", "x"), ("i2", "y"), ("i3", "x")] {
                check(failed, "build", name, control.build(name, content));
                check(failed, "import", name, control.import(name, content));
            }
        }
    }
    nothing_left(control, failed)
}

fn nothing_left(control: &Control<'_>, failed: &mut Vec<String>) -> HostResult<()> {
    failed.extend(settled::violations(control));
    for (claim, owner) in control.read(banger_store::claim::list)? {
        failed.push(format!("{} is left, claimed by {owner}", claim.resource));
    }
    let world = control.machine.world();
    for root in crate::machine::ROOTS {
        for path in world.files.list(std::path::Path::new(root)) {
            failed.push(format!("{} is left", path.display()));
        }
    }
    Ok(())
}
