//! Making an image of a VM that does not run.

use banger_api::image::SaveVm;
use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, VmState};
use banger_api::{ApiError, VmId};
use banger_engine::{DiskSpec, LaunchToken, NetSpec, VmmSpec};
use banger_ops::policy::{self, Request};
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

/// A start of the VM over clones of its disks and without a network, for a guest that only reads them.
fn asked(turn: &Turn<'_>, seed: SeedWish, staging: OwnDir) -> Result<plans::SaveVm, ApiError> {
    let (control, record, files) = (turn.control, &turn.record, turn.files());
    let start = launch::start_vm(control, record, &files)?;
    let work = control.places().making(turn.op.id, "save");
    let initramfs_of = start.make_initramfs.then(|| start.kernel_dir.clone());
    let boot_deadline_ms = start.boot_deadline_ms;
    let (spec, setup) = reader(control, start, &work, false)?;
    Ok(plans::SaveVm {
        vm: record.name.clone(),
        files,
        staging,
        spec,
        setup,
        initramfs_of,
        boot_deadline_ms,
        image: control.places().image(&record.image_digest).to_path_buf(),
        seed,
        work,
    })
}

/// VMM and configuration of a guest that only reads: those of a start, over clones in `work`. With the modules at
/// `/lib/modules/<release>` it sees what packages of that very kernel have written there.
///
/// # Errors
/// `host_not_ready` without a user for it.
pub(super) fn reader(
    control: &Control,
    start: plans::StartVm,
    work: &OwnDir,
    with_modules: bool,
) -> Result<(VmmSpec, GuestSetup), ApiError> {
    let clone = |path, serial: &str| DiskSpec {
        path,
        serial: serial.to_owned(),
        read_only: false,
    };
    let shared = start.spec.disks.iter().filter(|disk| disk.read_only);
    let shared = shared.filter(|disk| with_modules || disk.serial == BASE);
    let shared: Vec<DiskSpec> = shared.cloned().collect();
    let clones = [
        clone(plans::system_clone(work), SYSTEM),
        clone(plans::work_clone(work), WORK),
    ];
    let guest = VmId::new();
    let spec = VmmSpec {
        vm_id: guest.0,
        launch_token: LaunchToken::of(Uuid::new_v4()),
        dir: work.to_path_buf(),
        disks: shared.into_iter().chain(clones).collect(),
        net: NetSpec::None,
        console_log: work.join("console.log"),
        user: users::free(control, guest.0)?,
        ..start.spec
    };
    let setup = GuestSetup {
        vm: guest,
        network: None,
        defaults: GuestDefaults::default(),
        bare: true,
        modules: start.setup.modules.clone().filter(|_| with_modules),
        // Whatever kernel its root has by now: this one only reads it.
        own_kernel: None,
        ..start.setup
    };
    Ok((spec, setup))
}
