//! Things without a claim: planted as leftovers of an older build, and the sweep that must remove exactly them.

use std::path::{Path, PathBuf};

use banger_engine::{Accel, LaunchToken, NetSpec, VmmSpec};
use banger_ops::HostResult;
use uuid::Uuid;

use crate::content::SIZE;
use crate::daemon::Daemon;
use crate::fs::Content;
use crate::machine::{RUN, World};
use crate::process::Manners;

/// Directories without a VMM in them.
const LEFT: [&str; 4] = [
    "/s/vms/stray",
    "/s/images/stray",
    "/s/kernels/stray",
    "/s/staging/stray",
];

/// Plants directories in all places, and a VMM that runs in one of them.
pub(crate) fn plant(daemon: &Daemon) -> HostResult<()> {
    let mut world = daemon.machine.world();
    let run = Path::new(RUN).join("stray");
    for dir in LEFT.map(PathBuf::from).into_iter().chain([run.clone()]) {
        // Recorded first: a full disk may prevent the rest.
        world.ledger.strays.insert(dir.clone());
        world.files.make_dir(&dir)?;
        world
            .files
            .write(&dir.join("file"), Content::Whole(1), SIZE)?;
        world.files.sync_tree(&dir)?;
        if let Some(parent) = dir.parent() {
            world.files.sync_dir(parent);
        }
    }
    world.processes.start(&spec(run), Manners::Stubborn, true);
    Ok(())
}

fn spec(dir: PathBuf) -> VmmSpec {
    VmmSpec {
        vm_id: Uuid::nil(),
        vm_name: "stray".to_owned(),
        launch_token: LaunchToken::of(Uuid::nil()),
        console_log: dir.join("console.log"),
        dir,
        kernel: PathBuf::new(),
        initramfs: PathBuf::new(),
        cmdline_extra: Vec::new(),
        vcpu: 1,
        memory_mib: 128,
        disks: Vec::new(),
        net: NetSpec::None,
        accel: Accel::Tcg,
        user: None,
    }
}

/// Remaining strays, one line each.
pub(crate) fn left(world: &World) -> Vec<String> {
    let running = |dir: &Path| {
        world
            .processes
            .launches()
            .any(|(_, launch)| launch.dir == dir)
    };
    world
        .ledger
        .strays
        .iter()
        .filter(|dir| world.files.exists(dir) || running(dir))
        .map(|dir| format!("a sweep leaves {}", dir.display()))
        .collect()
}
