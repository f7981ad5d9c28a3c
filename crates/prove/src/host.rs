//! The simulated machine as a [`Host`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::kernel::KernelSource;
use banger_api::{ErrorCode, ExitCause, LayerId, VmId, VmName};
use banger_engine::{LaunchToken, Signal, VmmIdentity, VmmSpec};
use banger_net_control::NetIdentity;
use banger_ops::steps::{NetLaunch, NetStarted, Switched, TopOf};
use banger_ops::{
    BlankDiskSpec, BootStage, Cancel, Events, GuestSetup, Host, HostResult, ImageFacts,
    ImageSource, KernelFacts, TemplateFacts, TemplateFiles,
};

use crate::acting::{NO_DEADLINE, SimHost, failed};
use crate::content::{
    EMPTY_TOP, SIZE, content_of, cut, digest_of, image_files, image_name, kernel_name, made,
    make_files,
};
use crate::fault::Nature::Wait;
use crate::fs::Content;
use crate::launch::{
    guest_up, save, show_larger, stand_still, start, start_net, suspend, switch_disks,
};
use crate::machine::{Extent, World};
use crate::process::Manners;

/// Content and length of `from`, which is copied to the disk `to`.
fn seed_to_copy(world: &mut World, from: &Path, to: &Path) -> HostResult<(u64, u64)> {
    world.guard_work_disk(to);
    match world.files.file(from) {
        Some((Content::Whole(content), len)) => Ok((content, len)),
        Some((Content::Torn, len)) => {
            world.broke(format!("the torn file {} is copied", from.display()));
            Ok((0, len))
        }
        None => Err(failed(
            ErrorCode::Internal,
            format!("cannot copy {}: no such file", from.display()),
        )),
    }
}

impl Host for SimHost {
    fn make_dir(&self, path: &Path) -> HostResult<()> {
        self.effect("make directory", path, |world, _| {
            world.files.make_dir(path)
        })
    }

    fn owns(&self, path: &Path) -> bool {
        crate::machine::is_own(path)
    }

    fn remove_file(&self, path: &Path) -> HostResult<()> {
        self.effect("remove file", path, |world, _| {
            world.guard_work_disk(path);
            world.guard_order(path);
            world.guard_vmm_dir(path);
            world.guard_roots(path)?;
            world.files.remove_file(path)
        })
    }

    fn remove_tree(&self, path: &Path) -> HostResult<()> {
        self.effect("remove tree", path, |world, extent| {
            world.guard_work_disk(path);
            world.guard_vmm_dir(path);
            world.guard_roots(path)?;
            world.files.remove_tree(path, extent == Extent::Part)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.effect("move", to, |world, _| {
            world.guard_work_disk(from);
            world.guard_work_disk(to);
            world.files.rename(from, to)
        })
    }

    fn exists(&self, path: &Path) -> HostResult<bool> {
        self.look("look for", path, |world| Ok(world.files.exists(path)))
    }

    fn list_dir(&self, path: &Path) -> HostResult<Vec<PathBuf>> {
        self.look("list", path, |world| Ok(world.files.list(path)))
    }

    fn file_len(&self, path: &Path) -> HostResult<Option<u64>> {
        self.look("measure", path, |world| {
            Ok(world.files.file(path).map(|(_, len)| len))
        })
    }

    fn sync_file(&self, path: &Path) -> HostResult<()> {
        self.effect("sync file", path, |world, _| world.files.sync_file(path))
    }

    fn sync_dir(&self, path: &Path) -> HostResult<()> {
        self.effect("sync directory", path, |world, _| {
            world.files.sync_dir(path);
            Ok(())
        })
    }

    fn sync_tree(&self, path: &Path) -> HostResult<()> {
        self.effect("sync tree", path, |world, _| world.files.sync_tree(path))
    }

    fn make_blank_disk(&self, path: &Path, disk: &BlankDiskSpec) -> HostResult<()> {
        let content = content_of(&disk.uuid.to_string());
        self.write("make disk", path, content, disk.bytes)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.effect("clone file", to, |world, extent| {
            let (content, len) = seed_to_copy(world, from, to)?;
            world.files.write(to, cut(content, extent), len)
        })
    }

    fn write_seeded_disk(&self, seed: &Path, path: &Path, bytes: u64) -> HostResult<bool> {
        // Half of all seeds are small.
        let small = self.look("read seed", seed, |world| {
            let content = world.files.file(seed).map(|(content, _)| content);
            Ok(matches!(content, Some(Content::Whole(content)) if content % 2 == 0))
        })?;
        if small {
            self.effect("write seeded disk", path, |world, extent| {
                let (content, _) = seed_to_copy(world, seed, path)?;
                world.files.write(path, cut(content, extent), bytes)
            })?;
        }
        Ok(small)
    }

    fn link_file(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.effect("link file", to, |world, _| world.files.link(from, to))
    }
    fn copy_dir(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.effect("copy directory", to, |world, extent| {
            world.files.remove_tree(to, false)?;
            if !world.files.exists(from) {
                return Ok(());
            }
            world.files.make_dir(to)?;
            for file in world.files.list(from) {
                let name = file.file_name().unwrap_or_default();
                if let Some((content, bytes)) = world.files.file(&file) {
                    world.files.write(&to.join(name), content, bytes)?;
                }
                if extent == Extent::Part {
                    return Ok(());
                }
            }
            world.files.sync_tree(to)
        })
    }
    fn make_top(&self, path: &Path, bytes: u64) -> HostResult<()> {
        self.effect("make top", path, |world, extent| {
            world.guard_work_disk(path);
            // A new file in its place: what has the name now may have another one.
            world.files.remove_file(path)?;
            let content = match extent {
                Extent::Whole => EMPTY_TOP,
                Extent::Part => Content::Torn,
            };
            world.files.write(path, content, bytes)
        })
    }
    fn grow_top(&self, path: &Path, bytes: u64) -> HostResult<()> {
        self.effect("grow top", path, |world, _| world.files.grow(path, bytes))
    }
    fn grow_file(&self, path: &Path, bytes: u64) -> HostResult<()> {
        self.effect("grow file", path, |world, _| world.files.grow(path, bytes))
    }

    fn start_vmm(&self, spec: &VmmSpec, deadline: Duration) -> HostResult<VmmIdentity> {
        self.act(Wait, "start VMM", &spec.dir, deadline, |world, extent| {
            start(world, spec, extent)
        })
    }

    fn find_vmm(&self, launch_token: &LaunchToken, dir: &Path) -> HostResult<Option<VmmIdentity>> {
        self.look("find VMM", dir, |world| {
            Ok(world.processes.find(launch_token, dir))
        })
    }

    fn list_vmms(&self, run: &Path) -> HostResult<Vec<VmmIdentity>> {
        self.look("list VMMs", run, |world| Ok(world.processes.below(run)))
    }

    fn save_vmm(
        &self,
        vmm: &VmmIdentity,
        to: &TemplateFiles,
        facts: &TemplateFacts,
        deadline: Duration,
    ) -> HostResult<()> {
        self.act(Wait, "save guest", &to.dir, deadline, |world, extent| {
            save(world, vmm, to, facts, extent)
        })
    }

    fn suspend_vmm(
        &self,
        _vm: VmId,
        vmm: &VmmIdentity,
        to: &Path,
        deadline: Duration,
    ) -> HostResult<()> {
        self.act(Wait, "suspend VMM", to, deadline, |world, extent| {
            suspend(world, vmm, to, extent)
        })
    }

    fn switch_disks(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        _layer: LayerId,
        tops: &[TopOf],
        deadline: Duration,
        _events: &dyn Events,
    ) -> HostResult<Switched> {
        let dir = vmm.dir();
        self.act(Wait, "switch disks", dir, deadline, |world, extent| {
            switch_disks(world, vm, vmm, tops, extent)
        })
    }
    fn pause_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        self.act(Wait, "pause VMM", vmm.dir(), NO_DEADLINE, |world, _| {
            stand_still(world, vmm, true)
        })
    }

    fn resume_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        self.act(Wait, "resume VMM", vmm.dir(), NO_DEADLINE, |world, _| {
            stand_still(world, vmm, false)
        })
    }

    fn adopt_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        self.act(
            Wait,
            "adopt VMM",
            vmm.dir(),
            Duration::from_secs(5),
            |world, _| {
                let socket = world.files.exists(&vmm.control_socket);
                match world.processes.same(vmm) {
                    Some(launch) if launch.answers && socket => Ok(()),
                    Some(_) => Err(failed(ErrorCode::Timeout, "the VMM does not answer")),
                    None => Err(failed(ErrorCode::VmmFailed, "the VMM is gone")),
                }
            },
        )
    }

    fn end_vmm(&self, vmm: &VmmIdentity, signal: Signal, deadline: Duration) -> HostResult<()> {
        self.act(Wait, "end VMM", vmm.dir(), deadline, |world, _| {
            let Some(launch) = world.processes.same(vmm) else {
                return Ok(());
            };
            if launch.manners == Manners::Stubborn && signal != Signal::KILL {
                world.clock_us += u64::try_from(deadline.as_micros()).unwrap_or(0);
                return Err(failed(ErrorCode::Timeout, "the VMM still runs"));
            }
            world.processes.end(vmm.pid, None);
            Ok(())
        })
    }

    fn vmm_exit(&self, vmm: &VmmIdentity) -> HostResult<Option<ExitCause>> {
        self.look("ask why it ended", vmm.dir(), |world| {
            if world.processes.same(vmm).is_some() {
                return Ok(None);
            }
            if world.processes.rebooted_since(vmm) {
                return Ok(Some(ExitCause::HostWentDown));
            }
            let known = world.processes.exits.get(&vmm.launch_token).cloned();
            Ok(Some(known.unwrap_or(ExitCause::Unknown)))
        })
    }

    fn start_net(
        &self,
        launch: &NetLaunch,
        vmm: &VmmIdentity,
        deadline: Duration,
    ) -> HostResult<NetStarted> {
        self.act(
            Wait,
            "start network",
            &launch.dir,
            deadline,
            |world, extent| start_net(world, launch, vmm, extent),
        )
    }

    fn find_net(&self, token: &str, dir: &Path) -> HostResult<Option<NetIdentity>> {
        self.look("find network", dir, |world| {
            Ok(world.processes.find_net(token, dir))
        })
    }

    fn list_nets(&self, run: &Path) -> HostResult<Vec<NetIdentity>> {
        self.look("list networks", run, |world| {
            Ok(world.processes.nets_below(run))
        })
    }

    fn net_answers(&self, net: &NetIdentity) -> HostResult<bool> {
        self.act(
            Wait,
            "ask network",
            &net.dir,
            Duration::from_secs(3),
            |world, _| Ok(world.processes.same_net(net).is_some_and(|net| net.answers)),
        )
    }

    fn end_net(&self, net: &NetIdentity, deadline: Duration) -> HostResult<()> {
        self.act(Wait, "end network", &net.dir, deadline, |world, _| {
            if world.processes.same_net(net).is_some() {
                world.processes.end(net.pid, None);
            }
            Ok(())
        })
    }

    fn hold_guest(&self, vmm: &VmmIdentity, deadline: Duration, cancel: &Cancel) -> HostResult<()> {
        self.act(Wait, "hold guest", vmm.dir(), deadline, |world, _| {
            if cancel.is_cancelled() {
                return Err(failed(ErrorCode::Cancelled, "cancelled"));
            }
            match world.processes.same(vmm) {
                Some(_) => Ok(()),
                None => Err(failed(ErrorCode::VmmFailed, "the VMM is gone")),
            }
        })
    }

    fn greet_guest(
        &self,
        _vm: VmId,
        vmm: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.act(Wait, "greet guest", vmm.dir(), deadline, |world, _| {
            if cancel.is_cancelled() {
                return Err(failed(ErrorCode::Cancelled, "cancelled"));
            }
            match world.processes.same(vmm) {
                Some(launch) if launch.manners == Manners::NeverWakes => Err(failed(
                    ErrorCode::GuestUnreachable,
                    "the guest does not go on",
                )),
                Some(_) => Ok(()),
                None => Err(failed(ErrorCode::VmmFailed, "the VMM is gone")),
            }
        })
    }

    fn configure_guest(
        &self,
        vmm: &VmmIdentity,
        setup: &GuestSetup,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<Vec<BootStage>> {
        self.act(Wait, "configure guest", vmm.dir(), deadline, |world, _| {
            if cancel.is_cancelled() {
                return Err(failed(ErrorCode::Cancelled, "cancelled"));
            }
            guest_up(world, vmm, setup, deadline)?;
            let name = setup.name.as_str();
            if setup.own_kernel.is_some() && world.installed.contains(name) {
                return Err(failed(ErrorCode::OtherKernel, "another kernel"));
            }
            Ok(vec![BootStage {
                name: "boot".to_owned(),
                us: 1,
            }])
        })
    }

    fn grow_running_disk(
        &self,
        _vm: VmId,
        vmm: &VmmIdentity,
        disk: &Path,
        bytes: u64,
        _cancel: &Cancel,
    ) -> HostResult<()> {
        self.act(
            Wait,
            "grow running disk",
            vmm.dir(),
            NO_DEADLINE,
            |world, _| show_larger(world, vmm, disk, bytes),
        )
    }

    fn shutdown_guest(
        &self,
        _vm: VmId,
        vmm: &VmmIdentity,
        deadline: Duration,
        _cancel: &Cancel,
    ) -> HostResult<bool> {
        self.act(Wait, "shut down guest", vmm.dir(), deadline, |world, _| {
            let Some(launch) = world.processes.same(vmm) else {
                return Ok(true);
            };
            if matches!(launch.manners, Manners::NeverDown | Manners::Stubborn) {
                world.clock_us += u64::try_from(deadline.as_micros()).unwrap_or(0);
                return Ok(false);
            }
            world.processes.end(vmm.pid, Some(ExitCause::GuestShutdown));
            Ok(true)
        })
    }

    fn read_root(
        &self,
        _vm: VmId,
        vmm: &VmmIdentity,
        to: &Path,
        _events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.act(Wait, "read root", to, NO_DEADLINE, |world, extent| {
            if cancel.is_cancelled() {
                return Err(failed(ErrorCode::Cancelled, "cancelled"));
            }
            if world.processes.same(vmm).is_none() {
                return Err(failed(ErrorCode::GuestUnreachable, "the VMM is gone"));
            }
            let content = content_of("root");
            world.files.write(to, cut(content, extent), SIZE)
        })
    }

    fn read_kernel(
        &self,
        _vm: VmId,
        vmm: &VmmIdentity,
        into: &Path,
        _events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.act(Wait, "read kernel", into, NO_DEADLINE, |world, extent| {
            if cancel.is_cancelled() {
                return Err(failed(ErrorCode::Cancelled, "cancelled"));
            }
            if world.processes.same(vmm).is_none() {
                return Err(failed(ErrorCode::GuestUnreachable, "the VMM is gone"));
            }
            world.installed.clear();
            let content = content_of("kernel");
            world.files.write(into, cut(content, extent), SIZE)
        })
    }

    fn make_image(
        &self,
        source: &ImageSource,
        into: &Path,
        _events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.act(Wait, "make image", into, NO_DEADLINE, |world, extent| {
            if cancel.is_cancelled() {
                return Err(failed(ErrorCode::Cancelled, "cancelled"));
            }
            let what = image_name(source);
            make_files(world, into, &what, image_files(&what), extent)
        })
    }

    fn image_facts(&self, dir: &Path) -> HostResult<ImageFacts> {
        self.look("read image", dir, |world| {
            let what = made(world, dir)?;
            Ok(ImageFacts {
                digest: digest_of(&what),
                source: what,
                init: "none".to_owned(),
                base_bytes: SIZE,
                seed_bytes: world.files.exists(&dir.join("seed.img")).then_some(SIZE),
            })
        })
    }

    fn make_kernel(
        &self,
        source: &KernelSource,
        _all_modules: bool,
        into: &Path,
        _events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.act(Wait, "make kernel", into, NO_DEADLINE, |world, extent| {
            if cancel.is_cancelled() {
                return Err(failed(ErrorCode::Cancelled, "cancelled"));
            }
            let what = kernel_name(source);
            let files = ["vmlinux", "modules/a.ko", "modules.ext4"];
            make_files(world, into, &what, &files, extent)
        })
    }

    fn kernel_facts(&self, dir: &Path) -> HostResult<KernelFacts> {
        self.look("read kernel", dir, |world| {
            let what = made(world, dir)?;
            Ok(KernelFacts {
                digest: digest_of(&what),
                source: what,
                version: "6.1".to_owned(),
                image_bytes: SIZE,
                modules: vec!["a".to_owned()],
            })
        })
    }

    fn make_initramfs(&self, kernel_dir: &Path, path: &Path) -> HostResult<()> {
        // Like the real one: written without a name, synced, then linked; if it is cut off, there is no file.
        self.effect("make initramfs", path, |world, extent| {
            if world.files.exists(path) || extent == Extent::Part {
                return Ok(());
            }
            if !world.whole(&kernel_dir.join("vmlinux")) {
                return Err(failed(ErrorCode::Internal, "no whole kernel is there"));
            }
            if let Err(full) = world.files.write(path, Content::Whole(1), SIZE) {
                world.files.remove_file(path)?;
                return Err(full);
            }
            world.files.sync_file(path)?;
            world.files.sync_dir(kernel_dir);
            Ok(())
        })
    }

    fn make_ssh_host_key(&self, path: &Path, vm: &VmName) -> HostResult<()> {
        let content = content_of(vm.as_str());
        self.write("make host key", path, content, 400)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.machine.world().clock_us / 1_000).unwrap_or(i64::MAX)
    }

    fn monotonic_us(&self) -> u64 {
        self.machine.world().clock_us
    }
}
