//! Making an image of a VM that does not run.

use banger_api::image::SaveVm;
use banger_api::vm::Accepted;
use banger_api::{ApiError, VmId};
use banger_engine::{DiskSpec, NetSpec, VmmSpec};
use banger_ops::policy::{self, Request};
use banger_ops::{GuestDefaults, GuestSetup, plans};
use banger_store::vm;
use uuid::Uuid;

use super::images::{Naming, publish_made, seed_wish};
use super::{find_vm, launch};
use crate::context::Daemon;
use crate::guest_files::{SYSTEM, WORK};

/// Makes an image of a VM's root and work disk, read through a guest of their own.
///
/// # Errors
/// `not_found`, `wrong_state` for a VM that runs, `name_taken`, `host_not_ready`.
pub(crate) fn save_vm(
    daemon: &Daemon,
    reference: &str,
    request: SaveVm,
) -> Result<Accepted, ApiError> {
    let record = find_vm(daemon, reference)?;
    policy::check(Request::Save, record.name.as_str(), record.state)?;
    let naming = Naming::from(request.replace);
    naming.check(daemon, &request.image)?;
    let seed = seed_wish(request.work_seed, request.seed_size)?;
    let (task, name) = (daemon.clone(), request.image);
    let about = Some((record.id, record.name.to_string()));
    let running = daemon.operations.spawn("save_vm", about, move |op| {
        let _making = task.locks.name(&format!("image:{name}"), &op.cancel)?;
        let _lock = task.hold(record.id)?;
        let record = task
            .read(|db| vm::by_id(db, record.id))?
            .ok_or_else(|| ApiError::new(banger_api::ErrorCode::NotFound, "the VM was deleted"))?;
        policy::check(Request::Save, record.name.as_str(), record.state)?;
        naming.check(&task, &name)?;
        let files = task.paths.vm(record.id);
        // What a start would run, over clones and without a network.
        let start = launch::start_vm(&task, &record, &files)?;
        let staging = task.paths.staging();
        let work = staging.join(op.id.to_string() + "-save");
        let staging = staging.join(op.id.to_string() + "-image");
        let clone = |path, serial: &str| DiskSpec {
            path,
            serial: serial.to_owned(),
            read_only: false,
        };
        let base = start.spec.disks.iter().find(|disk| disk.read_only).cloned();
        let clones = [
            clone(plans::system_clone(&work), SYSTEM),
            clone(plans::work_clone(&work), WORK),
        ];
        let guest = VmId::new();
        let save = plans::SaveVm {
            vm: record.name.clone(),
            files,
            staging: staging.clone(),
            spec: VmmSpec {
                vm_id: guest.0,
                launch_token: format!("banger-{}", Uuid::new_v4().simple()),
                dir: work.clone(),
                disks: base.into_iter().chain(clones).collect(),
                net: NetSpec::None,
                console_log: work.join("console.log"),
                ..start.spec
            },
            setup: GuestSetup {
                vm: guest,
                net: banger_api::vm::NetMode::None,
                relays: Vec::new(),
                defaults: GuestDefaults::default(),
                bare: true,
                ..start.setup
            },
            initramfs_of: start.make_initramfs.then_some(start.kernel_dir),
            boot_deadline_ms: start.boot_deadline_ms,
            image: task.paths.images().join(&record.image_digest),
            seed,
            work,
        };
        let plan = plans::save_vm(op.id, save);
        task.runner.run(&plan, &**op, &op.cancel)?;
        publish_made(&task, op, name, staging, naming).map(|_record| ())
    })?;
    Ok(running.accepted(None))
}
