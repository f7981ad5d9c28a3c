//! Things without a claim: planted as leftovers of an older build, and the sweep that must remove exactly them.

use std::path::{Path, PathBuf};

use banger_egress::Policy;
use banger_engine::{Accel, LaunchToken, Memory, NetSpec, VmmSpec};
use banger_net_control::{GuestLink, Link, NET_CONFIG_VERSION, NameServers, NetConfig};
use banger_ops::HostResult;
use banger_ops::steps::NetLaunch;
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

/// Plants directories in all places, and a VMM and a network process that run in one of them.
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
    world
        .processes
        .start(&spec(run.clone()), Manners::Stubborn, true);
    world.processes.start_net(&net(run), true);
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
        memory: Memory::Own,
        disks: Vec::new(),
        net: NetSpec::None,
        accel: Accel::Tcg,
        user: None,
    }
}

fn net(dir: PathBuf) -> NetLaunch {
    let run = |name: &str| dir.join(name);
    let link = Link {
        own: run("own"),
        peer: run("peer"),
    };
    let config = NetConfig {
        version: NET_CONFIG_VERSION,
        vm_id: Uuid::nil(),
        vm_name: "stray".to_owned(),
        launch_token: "stray-network".to_owned(),
        link,
        control: run("control"),
        audit: None,
        guest: GuestLink::default(),
        dns: NameServers::default(),
        proxy: None,
        publish: Vec::new(),
        secrets: Vec::new(),
        policy: Policy::closed(0),
    };
    let user = None;
    NetLaunch { dir, user, config }
}

/// Remaining strays, one line each.
pub(crate) fn left(world: &World) -> Vec<String> {
    let running = |dir: &Path| {
        world
            .processes
            .launches()
            .any(|(_, launch)| launch.dir == dir)
            || world.processes.nets().any(|(_, net)| net.dir == dir)
    };
    world
        .ledger
        .strays
        .iter()
        .filter(|dir| world.files.exists(dir) || running(dir))
        .map(|dir| format!("a sweep leaves {}", dir.display()))
        .collect()
}
