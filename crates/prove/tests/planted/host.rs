//! Bugs in what the machine is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::kernel::KernelSource;
use banger_api::{ApiError, ErrorCode, ExitCause, LayerId, VmId, VmName};
use banger_engine::{LaunchToken, Signal, VmmIdentity, VmmSpec};
use banger_net_control::NetIdentity;
use banger_ops::steps::{NetLaunch, NetStarted, Switched, TopOf};
use banger_ops::{
    BlankDiskSpec, BootStage, Cancel, Events, GuestSetup, Host, HostResult, ImageFacts,
    ImageSource, KernelFacts, TemplateFacts, TemplateFiles,
};
use banger_prove::SimHost;

/// The planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostBug {
    /// Only the first disk of a guest that runs is switched.
    SwitchOneDisk,
    /// A disk over layers stays as small as it was.
    ForgetToGrowATop,
    /// Run directories are not removed.
    SkipARevert,
    /// A VM's run directory is made with its state directory, long before it is claimed.
    EffectBeforeItsClaim,
    /// Directories are never synced.
    ForgetDirectorySync,
    /// Files are never synced.
    ForgetFileSync,
    /// Made files are published without being synced.
    PublishBeforeSync,
    /// A VMM is signalled by its pid alone.
    SignalABarePid,
    /// A VMM is adopted by its pid alone.
    AdoptAReusedPid,
    /// A VMM that could not be ended counts as ended.
    IgnoreAFailedKill,
    /// A launch whose pid was not recorded is not looked for.
    LoseAnUnrecordedLaunch,
    /// Removing what is gone is an error.
    FailOnWhatIsGone,
    /// The directory of the VMs is not synced, so that what was removed there may come back.
    ForgetSyncOfARemoval,
    /// A VMM that does not answer is said to have ended.
    TakeASilentVmmForADeadOne,
    /// An identity that cannot be read is taken for none: nobody looks what runs.
    TakeUnreadableForAbsent,
    /// Every path of a stored plan is taken for banger's own.
    OwnEverything,
    /// A network process whose pid was not recorded is not looked for.
    LoseAnUnrecordedNetwork,
    /// The copy of a template's memory is not removed when its VMM has mapped it.
    KeepTheCopy,
    /// A guest that is not suspended after all is not let go on.
    ForgetToResume,
    /// The memory of a guest stays when that is not suspended after all.
    KeepTheMemory,
    /// A guest that could not be saved counts as saved.
    SaveNothing,
    /// Network processes are not ended, and said to be.
    LeaveNetworks,
    /// A network process is signalled by its pid alone.
    EndNetworkByItsBarePid,
    /// Whoever has the pid of a network process is taken for it.
    AdoptAReusedPidAsNetwork,
    /// A network process still listens at ports that it was told to leave.
    KeepTheOldPorts,
}

/// A host with a bug.
pub struct BuggyHost {
    /// The machine.
    pub host: SimHost,
    /// The planted bug.
    pub bug: HostBug,
}

impl BuggyHost {
    fn has(&self, bug: HostBug) -> bool {
        self.bug == bug
    }
}

impl Host for BuggyHost {
    fn make_dir(&self, path: &Path) -> HostResult<()> {
        self.host.make_dir(path)?;
        if self.has(HostBug::EffectBeforeItsClaim)
            && let Ok(id) = path.strip_prefix("/s/vms")
        {
            self.host.make_dir(&Path::new("/r").join(id))?;
        }
        Ok(())
    }

    fn owns(&self, path: &Path) -> bool {
        self.has(HostBug::OwnEverything) || self.host.owns(path)
    }
    fn remove_file(&self, path: &Path) -> HostResult<()> {
        if self.has(HostBug::FailOnWhatIsGone) && !self.host.exists(path)? {
            return Err(ApiError::new(ErrorCode::Internal, "no such file"));
        }
        if self.has(HostBug::KeepTheMemory) && path.ends_with("suspended.state") {
            return Ok(());
        }
        if self.has(HostBug::KeepTheCopy) && path.ends_with("memory.img") {
            return Ok(());
        }
        self.host.remove_file(path)
    }

    fn remove_tree(&self, path: &Path) -> HostResult<()> {
        if self.has(HostBug::SkipARevert) && path.starts_with("/r") {
            return Ok(());
        }
        self.host.remove_tree(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.host.rename(from, to)
    }

    fn exists(&self, path: &Path) -> HostResult<bool> {
        self.host.exists(path)
    }

    fn list_dir(&self, path: &Path) -> HostResult<Vec<PathBuf>> {
        self.host.list_dir(path)
    }

    fn file_len(&self, path: &Path) -> HostResult<Option<u64>> {
        self.host.file_len(path)
    }

    fn sync_file(&self, path: &Path) -> HostResult<()> {
        match self.has(HostBug::ForgetFileSync) {
            true => Ok(()),
            false => self.host.sync_file(path),
        }
    }

    fn sync_dir(&self, path: &Path) -> HostResult<()> {
        let forget = self.has(HostBug::ForgetDirectorySync)
            || self.has(HostBug::ForgetSyncOfARemoval) && path == Path::new("/s/vms");
        match forget {
            true => Ok(()),
            false => self.host.sync_dir(path),
        }
    }

    fn sync_tree(&self, path: &Path) -> HostResult<()> {
        match self.has(HostBug::PublishBeforeSync) {
            true => Ok(()),
            false => self.host.sync_tree(path),
        }
    }

    fn make_blank_disk(&self, path: &Path, disk: &BlankDiskSpec) -> HostResult<()> {
        self.host.make_blank_disk(path, disk)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.host.clone_file(from, to)
    }

    fn write_seeded_disk(&self, seed: &Path, path: &Path, bytes: u64) -> HostResult<bool> {
        self.host.write_seeded_disk(seed, path, bytes)
    }

    fn link_file(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.host.link_file(from, to)
    }
    fn copy_dir(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.host.copy_dir(from, to)
    }
    fn make_top(&self, path: &Path, bytes: u64) -> HostResult<()> {
        self.host.make_top(path, bytes)
    }
    fn grow_top(&self, path: &Path, bytes: u64) -> HostResult<()> {
        if self.has(HostBug::ForgetToGrowATop) {
            return Ok(());
        }
        self.host.grow_top(path, bytes)
    }
    fn grow_file(&self, path: &Path, bytes: u64) -> HostResult<()> {
        self.host.grow_file(path, bytes)
    }

    fn start_vmm(&self, spec: &VmmSpec, deadline: Duration) -> HostResult<VmmIdentity> {
        self.host.start_vmm(spec, deadline)
    }

    fn find_vmm(&self, launch_token: &LaunchToken, dir: &Path) -> HostResult<Option<VmmIdentity>> {
        match self.has(HostBug::LoseAnUnrecordedLaunch) {
            true => Ok(None),
            false => self.host.find_vmm(launch_token, dir),
        }
    }

    fn list_vmms(&self, run: &Path) -> HostResult<Vec<VmmIdentity>> {
        match self.has(HostBug::TakeUnreadableForAbsent) {
            true => Ok(Vec::new()),
            false => self.host.list_vmms(run),
        }
    }

    fn adopt_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        if self.has(HostBug::AdoptAReusedPid) && self.host.pid_lives(vmm.pid) {
            return Ok(());
        }
        if self.has(HostBug::TakeASilentVmmForADeadOne) {
            return Err(ApiError::new(ErrorCode::Timeout, "no answer"));
        }
        self.host.adopt_vmm(vmm)
    }

    fn end_vmm(&self, vmm: &VmmIdentity, signal: Signal, deadline: Duration) -> HostResult<()> {
        if self.has(HostBug::SignalABarePid) {
            self.host.end_bare_pid(vmm.pid);
            return Ok(());
        }
        let ended = self.host.end_vmm(vmm, signal, deadline);
        match self.has(HostBug::IgnoreAFailedKill) {
            true => Ok(()),
            false => ended,
        }
    }

    fn vmm_exit(&self, vmm: &VmmIdentity) -> HostResult<Option<ExitCause>> {
        match self.has(HostBug::TakeASilentVmmForADeadOne) {
            true => Ok(Some(ExitCause::Unknown)),
            false => self.host.vmm_exit(vmm),
        }
    }

    fn start_net(
        &self,
        launch: &NetLaunch,
        vmm: &VmmIdentity,
        deadline: Duration,
    ) -> HostResult<NetStarted> {
        self.host.start_net(launch, vmm, deadline)
    }

    fn find_net(&self, token: &str, dir: &Path) -> HostResult<Option<NetIdentity>> {
        match self.has(HostBug::LoseAnUnrecordedNetwork) {
            true => Ok(None),
            false => self.host.find_net(token, dir),
        }
    }

    fn list_nets(&self, run: &Path) -> HostResult<Vec<NetIdentity>> {
        self.host.list_nets(run)
    }

    fn net_answers(&self, net: &NetIdentity) -> HostResult<bool> {
        if self.has(HostBug::AdoptAReusedPidAsNetwork) {
            return Ok(self.host.pid_lives(net.pid));
        }
        self.host.net_answers(net)
    }

    fn end_net(&self, net: &NetIdentity, deadline: Duration) -> HostResult<()> {
        match self.bug {
            HostBug::LeaveNetworks => Ok(()),
            HostBug::EndNetworkByItsBarePid => {
                self.host.end_bare_pid(net.pid);
                Ok(())
            }
            _ => self.host.end_net(net, deadline),
        }
    }

    fn save_vmm(
        &self,
        vmm: &VmmIdentity,
        to: &TemplateFiles,
        facts: &TemplateFacts,
        deadline: Duration,
    ) -> HostResult<()> {
        match self.has(HostBug::SaveNothing) {
            true => self.host.end_vmm(vmm, Signal::KILL, deadline),
            false => self.host.save_vmm(vmm, to, facts, deadline),
        }
    }

    fn suspend_vmm(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        to: &Path,
        deadline: Duration,
    ) -> HostResult<()> {
        self.host.suspend_vmm(vm, vmm, to, deadline)
    }

    fn switch_disks(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        layer: LayerId,
        tops: &[TopOf],
        deadline: Duration,
        events: &dyn Events,
    ) -> HostResult<Switched> {
        if self.has(HostBug::SwitchOneDisk) {
            return self
                .host
                .switch_disks(vm, vmm, layer, &tops[..1], deadline, events);
        }
        self.host
            .switch_disks(vm, vmm, layer, tops, deadline, events)
    }
    fn pause_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        self.host.pause_vmm(vmm)
    }

    fn resume_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        match self.has(HostBug::ForgetToResume) {
            true => Ok(()),
            false => self.host.resume_vmm(vmm),
        }
    }

    fn greet_guest(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.host.greet_guest(vm, vmm, deadline, cancel)
    }

    fn hold_guest(&self, vmm: &VmmIdentity, deadline: Duration, cancel: &Cancel) -> HostResult<()> {
        self.host.hold_guest(vmm, deadline, cancel)
    }

    fn configure_guest(
        &self,
        vmm: &VmmIdentity,
        setup: &GuestSetup,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<Vec<BootStage>> {
        self.host.configure_guest(vmm, setup, deadline, cancel)
    }

    fn grow_running_disk(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        disk: &Path,
        bytes: u64,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.host.grow_running_disk(vm, vmm, disk, bytes, cancel)
    }

    fn shutdown_guest(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<bool> {
        self.host.shutdown_guest(vm, vmm, deadline, cancel)
    }

    fn read_root(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        to: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.host.read_root(vm, vmm, to, events, cancel)
    }

    fn read_kernel(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        into: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.host.read_kernel(vm, vmm, into, events, cancel)
    }

    fn make_image(
        &self,
        source: &ImageSource,
        into: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.host.make_image(source, into, events, cancel)
    }

    fn image_facts(&self, dir: &Path) -> HostResult<ImageFacts> {
        self.host.image_facts(dir)
    }

    fn make_kernel(
        &self,
        source: &KernelSource,
        all_modules: bool,
        into: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.host
            .make_kernel(source, all_modules, into, events, cancel)
    }

    fn kernel_facts(&self, dir: &Path) -> HostResult<KernelFacts> {
        self.host.kernel_facts(dir)
    }

    fn make_initramfs(&self, kernel_dir: &Path, path: &Path) -> HostResult<()> {
        self.host.make_initramfs(kernel_dir, path)
    }

    fn make_ssh_host_key(&self, path: &Path, vm: &VmName) -> HostResult<()> {
        self.host.make_ssh_host_key(path, vm)
    }

    fn now_ms(&self) -> i64 {
        self.host.now_ms()
    }

    fn monotonic_us(&self) -> u64 {
        self.host.monotonic_us()
    }
}
