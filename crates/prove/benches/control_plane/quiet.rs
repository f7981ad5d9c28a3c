//! A host on which everything is done already.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_api::kernel::KernelSource;
use banger_api::{ApiError, ErrorCode, VmId, VmName};
use banger_engine::{Signal, VmmIdentity, VmmSpec};
use banger_ops::{
    BlankDiskSpec, BootStage, Cancel, Events, GuestSetup, Host, HostResult, ImageFacts,
    ImageSource, KernelFacts,
};

/// Does nothing, at once. A VMM lives when its token says so.
pub struct QuietHost {
    began: Instant,
}

impl Default for QuietHost {
    fn default() -> Self {
        Self {
            began: Instant::now(),
        }
    }
}

fn absent<T>() -> HostResult<T> {
    Err(ApiError::new(ErrorCode::NotFound, "not on this host"))
}

impl Host for QuietHost {
    fn make_dir(&self, _path: &Path) -> HostResult<()> {
        Ok(())
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
    fn grow_file(&self, _path: &Path, _bytes: u64) -> HostResult<()> {
        Ok(())
    }
    fn start_vmm(&self, _spec: &VmmSpec, _deadline: Duration) -> HostResult<VmmIdentity> {
        absent()
    }
    fn find_vmm(&self, _launch_token: &str, _dir: &Path) -> HostResult<Option<VmmIdentity>> {
        Ok(None)
    }
    fn list_vmms(&self, _run: &Path) -> HostResult<Vec<VmmIdentity>> {
        Ok(Vec::new())
    }
    fn adopt_vmm(&self, vmm: &VmmIdentity) -> HostResult<()> {
        match vmm.launch_token.starts_with("lives") {
            true => Ok(()),
            false => absent(),
        }
    }
    fn end_vmm(&self, _vmm: &VmmIdentity, _signal: Signal, _deadline: Duration) -> HostResult<()> {
        Ok(())
    }
    fn vmm_exit(&self, _vmm: &VmmIdentity) -> HostResult<Option<String>> {
        Ok(Some("its VMM is gone".to_owned()))
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
