//! A host on which everything is done already, and surroundings in which nothing is to be known.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use banger_api::image::ImageDetails;
use banger_api::kernel::KernelSource;
use banger_api::pull::PullImage;
use banger_api::{ApiError, EngineName, ErrorCode, ExitCause, LayerId, VmId, VmName};
use banger_control::{
    BootFiles, Control, Environment, Fetch, FileUse, HostSize, ImageDefaults, ImageOrigin, Parents,
    Parts, Places, Pool, Queues, VmDefaults,
};
use banger_egress::{Policy, Rule, SetName};
use banger_engine::{Accel, LaunchToken, Signal, VmmIdentity, VmmSpec};
use banger_net_control::NetIdentity;
use banger_ops::steps::{NetLaunch, NetStarted, Switched, TopOf};
use banger_ops::{
    BlankDiskSpec, BootStage, Cancel, Events, GuestSetup, Host, HostResult, ImageFacts,
    ImageSource, KernelFacts, Runner, TemplateFacts, TemplateFiles,
};
use banger_secret::{SecretName, SecretUse};
use banger_store::VmRecord;

/// Does nothing, at once. A VMM lives when its token says so.
pub struct QuietHost {
    began: Instant,
    /// Making the next directory waits until it may go on.
    pub gate: Arc<Gate>,
}

/// Holds up one call.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default, PartialEq, Eq)]
enum GateState {
    #[default]
    Open,
    /// The next one is held.
    Armed,
    Holding,
}

#[allow(dead_code)] // the bench holds nothing up
impl Gate {
    /// Holds up the next call.
    pub fn arm(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = GateState::Armed;
    }

    /// Waits until a call is held.
    pub fn held(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut GateState| *state != GateState::Holding;
        drop(self.changed.wait_while(state, waiting));
    }

    /// Lets it go on.
    pub fn open(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = GateState::Open;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == GateState::Armed {
            *state = GateState::Holding;
            self.changed.notify_all();
            let holding = |state: &mut GateState| *state == GateState::Holding;
            drop(self.changed.wait_while(state, holding));
        }
    }
}

/// Address at which nothing listens.
#[allow(clippy::expect_used)] // these are absolute
pub fn places() -> Places {
    Places::new(Parents {
        vms: "/s/vms".into(),
        run_vms: "/r".into(),
        images: "/s/images".into(),
        kernels: "/s/kernels".into(),
        layers: "/q/layers".into(),
        templates: "/q/templates".into(),
        staging: "/s/staging".into(),
    })
    .expect("absolute places")
}

/// A control plane over `runner`, on threads of `pool`.
pub fn control(runner: Runner, pool: Pool) -> Control {
    Control::new(Parts {
        places: places(),
        defaults: VmDefaults::default(),
        runner,
        environment: Arc::new(QuietEnvironment),
        locks: Arc::new(Queues::default()),
        spawn: Arc::new(pool),
    })
}

/// Surroundings in which everything is there.
struct QuietEnvironment;

impl Environment for QuietEnvironment {
    fn engine(&self) -> EngineName {
        EngineName::qemu()
    }
    fn has_secret(&self, _name: &SecretName) -> HostResult<bool> {
        Ok(false)
    }
    fn set_secrets(&self, _net: &NetIdentity, _uses: &[SecretUse]) -> HostResult<()> {
        Ok(())
    }
    fn host_size(&self) -> HostSize {
        HostSize {
            cpus: 2,
            memory_mib: 4_096,
        }
    }
    fn vmms_have_users(&self) -> bool {
        false
    }
    fn has_net_links(&self) -> bool {
        true
    }
    fn is_there(&self, _path: &Path) -> bool {
        true
    }
    fn allocated_bytes(&self, _path: &Path) -> u64 {
        0
    }
    fn console_tail(&self, _log: &Path, _lines: usize) -> String {
        String::new()
    }
    fn boot_files(&self, kernel: &Path) -> HostResult<BootFiles> {
        Ok(BootFiles {
            kernel: kernel.to_owned(),
            initramfs: kernel.to_owned(),
            image_sha256: String::new(),
            modules: None,
            accel: Accel::Tcg,
        })
    }
    fn guest_modules(
        &self,
        _kernel: &Path,
    ) -> HostResult<Option<banger_api::kernel::GuestModules>> {
        Ok(None)
    }

    fn base_of(&self, image: &Path) -> PathBuf {
        image.to_owned()
    }
    fn seed_of(&self, image: &Path) -> PathBuf {
        image.to_owned()
    }
    fn recipes(&self) -> Vec<&'static str> {
        Vec::new()
    }
    fn image_defaults(&self, _image: &Path) -> ImageDefaults {
        ImageDefaults::default()
    }
    fn files_of(&self, _image: &Path) -> Vec<FileUse> {
        Vec::new()
    }
    fn image_details(&self, _image: &Path) -> HostResult<ImageDetails> {
        absent()
    }
    fn image_origin(&self, _image: &Path) -> HostResult<Option<ImageOrigin>> {
        Ok(None)
    }
    fn chosen_seed(
        &self,
        _image: &Path,
        _source: &ImageSource,
    ) -> HostResult<Option<&'static str>> {
        Ok(None)
    }
    fn pull(&self, _request: &PullImage) -> HostResult<Box<dyn Fetch>> {
        absent()
    }
    fn vm_runs(&self, _control: &Control, _vm: &VmRecord) {}
    fn net_runs(&self, _control: &Control, _vm: &VmRecord) {}
    fn set_ports(
        &self,
        _net: &NetIdentity,
        _ports: &[banger_net_control::Publish],
        _address: Option<std::net::Ipv4Addr>,
    ) -> HostResult<Vec<(banger_net_control::Publish, String)>> {
        Ok(Vec::new())
    }
    fn set_policy(&self, _net: &NetIdentity, _policy: Policy) -> HostResult<()> {
        Ok(())
    }
    fn rules_of(&self, _set: SetName) -> HostResult<Vec<Rule>> {
        Ok(Vec::new())
    }
    fn net_is_missing(&self, _control: &Control, _vm: VmId) {}
    fn run_is_expected(&self, _control: &Control, _vm: VmId) {}
    fn vm_is_gone(&self, _vm: VmId) {}
}

impl Default for QuietHost {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            gate: Arc::default(),
        }
    }
}

fn absent<T>() -> HostResult<T> {
    Err(ApiError::new(ErrorCode::NotFound, "not on this host"))
}

impl Host for QuietHost {
    fn make_dir(&self, _path: &Path) -> HostResult<()> {
        self.gate.pass();
        Ok(())
    }
    fn owns(&self, _path: &Path) -> bool {
        true
    }
    fn remove_file(&self, _path: &Path) -> HostResult<()> {
        Ok(())
    }
    fn remove_tree(&self, _path: &Path) -> HostResult<()> {
        Ok(())
    }
    fn rename(&self, _from: &Path, _to: &Path) -> HostResult<()> {
        Ok(())
    }
    fn exists(&self, _path: &Path) -> HostResult<bool> {
        Ok(true)
    }
    fn list_dir(&self, _path: &Path) -> HostResult<Vec<PathBuf>> {
        Ok(Vec::new())
    }
    fn file_len(&self, _path: &Path) -> HostResult<Option<u64>> {
        Ok(Some(1))
    }
    fn sync_file(&self, _path: &Path) -> HostResult<()> {
        Ok(())
    }
    fn sync_dir(&self, _path: &Path) -> HostResult<()> {
        Ok(())
    }
    fn make_blank_disk(&self, _path: &Path, _disk: &BlankDiskSpec) -> HostResult<()> {
        Ok(())
    }
    fn clone_file(&self, _from: &Path, _to: &Path) -> HostResult<()> {
        Ok(())
    }
    fn write_seeded_disk(&self, _seed: &Path, _path: &Path, _bytes: u64) -> HostResult<bool> {
        Ok(true)
    }
    fn link_file(&self, _: &Path, _: &Path) -> HostResult<()> {
        Ok(())
    }
    fn copy_dir(&self, _: &Path, _: &Path) -> HostResult<()> {
        Ok(())
    }
    fn make_top(&self, _: &Path, _: u64) -> HostResult<()> {
        Ok(())
    }
    fn grow_top(&self, _: &Path, _: u64) -> HostResult<()> {
        Ok(())
    }
    fn grow_file(&self, _path: &Path, _bytes: u64) -> HostResult<()> {
        Ok(())
    }
    fn start_vmm(&self, _spec: &VmmSpec, _deadline: Duration) -> HostResult<VmmIdentity> {
        absent()
    }
    fn find_vmm(
        &self,
        _launch_token: &LaunchToken,
        _dir: &Path,
    ) -> HostResult<Option<VmmIdentity>> {
        Ok(None)
    }
    fn list_vmms(&self, _run: &Path) -> HostResult<Vec<VmmIdentity>> {
        Ok(Vec::new())
    }
    fn adopt_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        match vmm.launch_token.as_str().starts_with("lives") {
            true => Ok(()),
            false => absent(),
        }
    }
    fn save_vmm(
        &self,
        _vmm: &VmmIdentity,
        _to: &TemplateFiles,
        _facts: &TemplateFacts,
        _deadline: Duration,
    ) -> HostResult<()> {
        absent()
    }
    fn suspend_vmm(
        &self,
        _vm: VmId,
        _vmm: &VmmIdentity,
        _to: &Path,
        _deadline: Duration,
    ) -> HostResult<()> {
        absent()
    }
    fn switch_disks(
        &self,
        _: VmId,
        _: &VmmIdentity,
        _: LayerId,
        _: &[TopOf],
        _: Duration,
        _: &dyn Events,
    ) -> HostResult<Switched> {
        absent()
    }
    fn pause_vmm(&self, _vmm: &VmmIdentity) -> HostResult<()> {
        absent()
    }
    fn resume_vmm(&self, _vmm: &VmmIdentity) -> HostResult<()> {
        absent()
    }
    fn greet_guest(
        &self,
        _vm: VmId,
        _vmm: &VmmIdentity,
        _deadline: Duration,
        _cancel: &Cancel,
    ) -> HostResult<()> {
        absent()
    }
    fn hold_guest(
        &self,
        _vmm: &VmmIdentity,
        _deadline: Duration,
        _cancel: &Cancel,
    ) -> HostResult<()> {
        absent()
    }
    fn end_vmm(&self, _vmm: &VmmIdentity, _signal: Signal, _deadline: Duration) -> HostResult<()> {
        Ok(())
    }
    fn vmm_exit(&self, _vmm: &VmmIdentity) -> HostResult<Option<ExitCause>> {
        Ok(Some(ExitCause::Unknown))
    }
    fn start_net(
        &self,
        _launch: &NetLaunch,
        _vmm: &VmmIdentity,
        _deadline: Duration,
    ) -> HostResult<NetStarted> {
        absent()
    }
    fn find_net(&self, _token: &str, _dir: &Path) -> HostResult<Option<NetIdentity>> {
        Ok(None)
    }
    fn list_nets(&self, _run: &Path) -> HostResult<Vec<NetIdentity>> {
        Ok(Vec::new())
    }
    fn net_answers(&self, _net: &NetIdentity) -> HostResult<bool> {
        Ok(false)
    }
    fn end_net(&self, _net: &NetIdentity, _deadline: Duration) -> HostResult<()> {
        Ok(())
    }
    fn configure_guest(
        &self,
        _vmm: &VmmIdentity,
        _setup: &GuestSetup,
        _deadline: Duration,
        _cancel: &Cancel,
    ) -> HostResult<Vec<BootStage>> {
        Ok(Vec::new())
    }
    fn grow_running_disk(
        &self,
        _vm: VmId,
        _vmm: &VmmIdentity,
        _disk: &Path,
        _bytes: u64,
        _cancel: &Cancel,
    ) -> HostResult<()> {
        Ok(())
    }
    fn shutdown_guest(
        &self,
        _vm: VmId,
        _vmm: &VmmIdentity,
        _deadline: Duration,
        _cancel: &Cancel,
    ) -> HostResult<bool> {
        Ok(true)
    }
    fn read_root(
        &self,
        _vm: VmId,
        _vmm: &VmmIdentity,
        _to: &Path,
        _events: &dyn Events,
        _cancel: &Cancel,
    ) -> HostResult<()> {
        absent()
    }
    fn read_kernel(
        &self,
        _vm: VmId,
        _vmm: &VmmIdentity,
        _into: &Path,
        _events: &dyn Events,
        _cancel: &Cancel,
    ) -> HostResult<()> {
        absent()
    }
    fn make_image(
        &self,
        _source: &ImageSource,
        _into: &Path,
        _events: &dyn Events,
        _cancel: &Cancel,
    ) -> HostResult<()> {
        absent()
    }
    fn image_facts(&self, _dir: &Path) -> HostResult<ImageFacts> {
        absent()
    }
    fn make_kernel(
        &self,
        _source: &KernelSource,
        _all_modules: bool,
        _into: &Path,
        _events: &dyn Events,
        _cancel: &Cancel,
    ) -> HostResult<()> {
        absent()
    }
    fn kernel_facts(&self, _dir: &Path) -> HostResult<KernelFacts> {
        absent()
    }
    fn make_initramfs(&self, _kernel_dir: &Path, _path: &Path) -> HostResult<()> {
        Ok(())
    }
    fn make_ssh_host_key(&self, _path: &Path, _vm: &VmName) -> HostResult<()> {
        Ok(())
    }
    fn now_ms(&self) -> i64 {
        0
    }
    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
