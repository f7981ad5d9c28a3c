//! Making an image of a VM that does not run.

use banger_api::image::SaveVm;
use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, VmState};
use banger_api::{ApiError, VmId};
use banger_engine::{DiskSpec, LaunchToken, NetSpec, VmmSpec};
use banger_ops::policy::{self, Request};
use banger_ops::steps::Reader;
use banger_ops::{GuestDefaults, GuestSetup, OwnDir, SeedWish, plans};
use uuid::Uuid;

use super::on_vm::{Turn, Verb, on_vm};
use super::serial::{BASE, SYSTEM, WORK};
use super::{launch, users};
use crate::image::{self, Naming, publish_made, seed_wish};
use crate::{Control, find_vm};

/// Makes an image of a VM's root and work disk. A separate guest reads them.
///
/// # Errors
/// `not_found`, `wrong_state` for a VM that runs, `name_taken`, `host_not_ready`.
pub fn save(control: &Control, reference: &str, request: SaveVm) -> Result<Accepted, ApiError> {
    let naming = Naming::from(request.replace);
    let seed = seed_wish(control, request.work_seed, request.seed_size)?;
    let name = request.image;
    let verb = Verb {
        leads_to: None,
        before: vec![image::making(&name)],
        ..Verb::new(OperationKind::SaveVm, Request::Save, VmState::Stopped)
    };
    // The state comes first: a running VM is refused for that, whatever the image's name.
    let record = find_vm(control, reference)?;
    let expected = control.operations().expected(&record);
    policy::check(Request::Save, record.name.as_str(), expected)?;
    naming.check(control, &name)?;
    on_vm(control, &record.id.to_string(), verb, move |turn| {
        turn.control.runner().check_readable(turn.record.id)?;
        naming.check(turn.control, &name)?;
        let staging = turn.control.places().making(turn.op.id, "image");
        let save = asked(turn, seed, staging.clone())?;
        turn.run(plans::save_vm(turn.op.id, save))?;
        publish_made(turn.control, turn.op, name, staging, naming).map(|_record| ())
    })
}

fn asked(turn: &Turn<'_>, seed: SeedWish, staging: OwnDir) -> Result<plans::SaveVm, ApiError> {
    let record = &turn.record;
    let image = turn.control.places().image(&record.image_digest);
    Ok(plans::SaveVm {
        vm: record.name.clone(),
        reading: reading(turn, false)?,
        staging,
        image: image.to_path_buf(),
        seed,
    })
}

/// A start of the VM over clones of its disks and without a network, for a guest that only reads them. With the modules at
/// `/lib/modules/<release>` it sees what packages of that very kernel have written there.
///
/// # Errors
/// Those of a start.
pub(super) fn reading(turn: &Turn<'_>, with_modules: bool) -> Result<plans::Reading, ApiError> {
    let (control, files) = (turn.control, turn.files());
    let start = launch::start_vm(control, &turn.record, &files)?;
    let work = control.places().making(turn.op.id, "save");
    // What lies below a disk lies below its clone, too.
    let clone = |path, serial: &str| {
        let mut disks = start.spec.disks.iter();
        DiskSpec {
            path,
            below: disks
                .find(|disk| disk.serial == serial)
                .and_then(|disk| disk.below.clone()),
            serial: serial.to_owned(),
            read_only: false,
        }
    };
    let shared = start.spec.disks.iter().filter(|disk| disk.read_only);
    let shared = shared.filter(|disk| with_modules || disk.serial == BASE);
    let clones = [
        clone(plans::system_clone(&work), SYSTEM),
        clone(plans::work_clone(&work), WORK),
    ];
    let disks = shared.cloned().chain(clones).collect();
    let guest = VmId::new();
    let reader = Reader {
        spec: VmmSpec {
            vm_id: guest.0,
            launch_token: LaunchToken::of(Uuid::new_v4()),
            dir: work.to_path_buf(),
            disks,
            net: NetSpec::None,
            console_log: work.join("console.log"),
            user: users::free(control, guest.0)?,
            ..start.spec
        },
        setup: Box::new(GuestSetup {
            vm: guest,
            network: None,
            defaults: GuestDefaults::default(),
            bare: true,
            modules: start.setup.modules.clone().filter(|_| with_modules),
            // Whatever kernel its root has by now: this one only reads it.
            own_kernel: None,
            ..start.setup
        }),
        deadline_ms: start.boot_deadline_ms,
    };
    Ok(plans::Reading {
        files,
        work,
        reader,
        initramfs_of: start.make_initramfs.then_some(start.kernel_dir),
    })
}
