//! `LinuxHost`: the trait over the families.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use banger_api::kernel::KernelSource;
use banger_api::{ExitCause, LayerId, VmId, VmName};
use banger_disk::Templates;
use banger_engine::{Engine, LaunchToken, Signal, VmmIdentity, VmmSpec};
use banger_net_control::NetIdentity;
use banger_ops::steps::{NetLaunch, NetStarted, Switched, TopOf};
use banger_ops::{
    BlankDiskSpec, BootStage, Cancel, Events, GuestSetup, Host, HostResult, ImageFacts,
    ImageSource, KernelFacts, TemplateFacts, TemplateFiles,
};
use tokio::runtime::Handle;

use super::guest::Guests;
use super::making::Making;
use super::roots::Roots;
use super::siblings::Siblings;
use super::{Networks, disks, files, vmm};
use banger_guest::TmpMode;

use crate::authorities::CaCertificates;
use crate::channels::Channels;
use crate::file_sync::{self, SyncEntry};
use crate::guest_files::Identity;

/// Content of every guest, read once when the daemon starts.
pub(crate) struct GuestMaterial {
    /// The line of banger's own key for `authorized_keys`.
    pub(crate) authorized_key: String,
    /// The name server that the user has configured.
    pub(crate) dns: Option<IpAddr>,
    /// The user's identity in git.
    pub(crate) git: Identity,
    /// Place of guests' `/tmp`.
    pub(crate) tmp: TmpMode,
    /// Authorities that guests trust beside their images'.
    pub(crate) ca_certificates: CaCertificates,
    /// Files of the host that every guest gets a copy of.
    pub(crate) file_sync: Vec<SyncEntry>,
}

/// The machine that this daemon runs on.
pub struct LinuxHost {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) networks: Networks,
    pub(crate) runtime: Handle,
    pub(crate) channels: Channels,
    pub(crate) material: GuestMaterial,
    pub(crate) templates: Templates,
    pub(crate) cache: PathBuf,
    pub(crate) images: PathBuf,
    pub(crate) began: Instant,
    pub(crate) roots: Roots,
    pub(crate) siblings: Siblings,
}

impl LinuxHost {
    fn guests(&self) -> Guests<'_> {
        Guests {
            runtime: &self.runtime,
            channels: &self.channels,
            engine: &*self.engine,
            material: &self.material,
            siblings: &self.siblings,
        }
    }
}

impl Host for LinuxHost {
    fn make_dir(&self, path: &Path) -> HostResult<()> {
        files::make_dir(path)
    }
    fn owns(&self, path: &Path) -> bool {
        self.roots.owns(path)
    }

    fn remove_file(&self, path: &Path) -> HostResult<()> {
        self.roots.check(path)?;
        files::remove_file(path)
    }
    fn remove_tree(&self, path: &Path) -> HostResult<()> {
        self.roots.check(path)?;
        self.roots
            .check_unused(&*self.engine, &self.networks, path)?;
        self.roots.forget_launch(&*self.engine, path)?;
        files::remove_tree(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.roots.check(from)?;
        self.roots.check(to)?;
        files::rename(from, to)
    }
    fn exists(&self, path: &Path) -> HostResult<bool> {
        files::exists(path)
    }
    fn list_dir(&self, path: &Path) -> HostResult<Vec<PathBuf>> {
        files::list_dir(path)
    }
    fn file_len(&self, path: &Path) -> HostResult<Option<u64>> {
        files::file_len(path)
    }
    fn sync_file(&self, path: &Path) -> HostResult<()> {
        files::sync_file(path)
    }
    fn sync_dir(&self, path: &Path) -> HostResult<()> {
        files::sync_dir(path)
    }

    fn make_blank_disk(&self, path: &Path, disk: &BlankDiskSpec) -> HostResult<()> {
        disks::make_blank(&self.templates, path, disk)
    }
    fn clone_file(&self, from: &Path, to: &Path) -> HostResult<()> {
        disks::clone_file(from, to)
    }
    fn write_seeded_disk(&self, seed: &Path, path: &Path, bytes: u64) -> HostResult<bool> {
        disks::write_seeded(seed, path, bytes)
    }
    fn link_file(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.roots.check(from)?;
        self.roots.check(to)?;
        files::link(from, to)
    }
    fn copy_dir(&self, from: &Path, to: &Path) -> HostResult<()> {
        self.roots.check(to)?;
        files::copy_dir(from, to)
    }
    fn make_top(&self, path: &Path, bytes: u64) -> HostResult<()> {
        self.roots.check(path)?;
        disks::make_top(path, bytes)
    }
    fn grow_top(&self, path: &Path, bytes: u64) -> HostResult<()> {
        self.roots.check(path)?;
        disks::grow_top(path, bytes)
    }
    fn grow_file(&self, path: &Path, bytes: u64) -> HostResult<()> {
        disks::grow_file(path, bytes)
    }

    fn start_vmm(&self, spec: &VmmSpec, deadline: Duration) -> HostResult<VmmIdentity> {
        vmm::start(&*self.engine, spec, deadline)
    }
    fn find_vmm(&self, launch_token: &LaunchToken, dir: &Path) -> HostResult<Option<VmmIdentity>> {
        vmm::find(&*self.engine, launch_token, dir)
    }
    fn list_vmms(&self, run: &Path) -> HostResult<Vec<VmmIdentity>> {
        self.engine
            .list(run)
            .map_err(|error| crate::failure::of_engine(&error))
    }
    fn give_way(&self, vmm: &VmmIdentity) {
        vmm::give_way(vmm);
    }
    fn save_vmm(
        &self,
        vmm: &VmmIdentity,
        to: &TemplateFiles,
        facts: &TemplateFacts,
        deadline: Duration,
    ) -> HostResult<()> {
        vmm::save(&*self.engine, vmm, to, facts, deadline)
    }
    fn suspend_vmm(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        to: &Path,
        deadline: Duration,
    ) -> HostResult<()> {
        self.roots.check(to)?;
        self.guests().part(vm, vmm);
        vmm::suspend(&*self.engine, vmm, to, deadline)
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
        self.guests().write_disks(vm, vmm);
        vmm::switch_disks(&*self.engine, vmm, layer, tops, deadline, events)
    }
    fn pause_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        vmm::pause(&*self.engine, vmm)
    }
    fn resume_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        vmm::resume(&*self.engine, vmm)
    }
    fn adopt_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        vmm::adopt(&*self.engine, vmm)
    }
    fn end_vmm(&self, vmm: &VmmIdentity, signal: Signal, deadline: Duration) -> HostResult<()> {
        vmm::end(&*self.engine, vmm, signal, deadline)
    }
    fn vmm_exit(&self, vmm: &VmmIdentity) -> HostResult<Option<ExitCause>> {
        vmm::exit(&*self.engine, vmm)
    }

    fn start_net(
        &self,
        launch: &NetLaunch,
        vmm: &VmmIdentity,
        deadline: Duration,
    ) -> HostResult<NetStarted> {
        self.networks.start(launch, vmm, &*self.engine, deadline)
    }
    fn find_net(&self, token: &str, dir: &Path) -> HostResult<Option<NetIdentity>> {
        self.networks.find(token, dir)
    }
    fn list_nets(&self, run: &Path) -> HostResult<Vec<NetIdentity>> {
        self.networks.list(run)
    }
    fn net_answers(&self, net: &NetIdentity) -> HostResult<bool> {
        self.networks.answers(net)
    }
    fn end_net(&self, net: &NetIdentity, deadline: Duration) -> HostResult<()> {
        self.networks.end(net, deadline)
    }

    fn hold_guest(&self, vmm: &VmmIdentity, deadline: Duration, cancel: &Cancel) -> HostResult<()> {
        self.guests().hold(vmm, deadline, cancel)
    }
    fn greet_guest(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.guests().greet(vm, vmm, deadline, cancel)
    }
    fn configure_guest(
        &self,
        vmm: &VmmIdentity,
        setup: &GuestSetup,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<Vec<BootStage>> {
        self.guests().configure(vmm, setup, deadline, cancel)
    }
    fn sync_files_to_guest(
        &self,
        vmm: &VmmIdentity,
        setup: &GuestSetup,
        events: &dyn Events,
        cancel: &Cancel,
    ) {
        if self.material.file_sync.is_empty() {
            return;
        }
        self.runtime.block_on(async {
            tokio::select! {
                () = file_sync::sync(&self.material.file_sync, &self.channels, vmm, setup, events) => {}
                () = cancel.cancelled() => {}
            }
        });
    }
    fn grow_running_disk(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        _disk: &Path,
        bytes: u64,
        cancel: &Cancel,
    ) -> HostResult<()> {
        vmm::resize_disk(&*self.engine, vmm, bytes)?;
        self.guests().grow_work_disk(vm, vmm, bytes, cancel)
    }
    fn shutdown_guest(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<bool> {
        self.guests().shutdown(vm, vmm, deadline, cancel)
    }

    fn read_root(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        to: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.guests().read_root(vm, vmm, to, events, cancel)
    }

    fn read_kernel(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        into: &Path,
        _events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        self.guests().read_kernel(vm, vmm, into, cancel)
    }

    fn make_image(
        &self,
        source: &ImageSource,
        into: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        Making {
            cache: &self.cache,
            images: &self.images,
            events,
            cancel,
        }
        .image(source, into)
    }
    fn image_facts(&self, dir: &Path) -> HostResult<ImageFacts> {
        super::making::image_facts(dir)
    }
    fn make_kernel(
        &self,
        source: &KernelSource,
        all_modules: bool,
        into: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()> {
        Making {
            cache: &self.cache,
            images: &self.images,
            events,
            cancel,
        }
        .kernel(source, all_modules, into)
    }
    fn kernel_facts(&self, dir: &Path) -> HostResult<KernelFacts> {
        super::making::kernel_facts(dir)
    }
    fn make_initramfs(&self, kernel_dir: &Path, _path: &Path) -> HostResult<()> {
        super::making::initramfs(kernel_dir)
    }
    fn make_ssh_host_key(&self, path: &Path, vm: &VmName) -> HostResult<()> {
        crate::keys::make(path, &format!("{vm}.vm"))
    }

    fn now_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
