//! The surroundings of a control plane on a simulated machine.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use banger_api::image::ImageDetails;
use banger_api::pull::{PullImage, PullSource};
use banger_api::{ApiError, ContentDigest, EngineName, ErrorCode, VmId};
use banger_control::template::{Template, TemplateRules, Wanted};
use banger_control::{
    BootFiles, Control, Environment, Fetch, Fetched, FileUse, HostSize, ImageDefaults, ImageOrigin,
    Running,
};
use banger_egress::{Policy, Rule, SetName};
use banger_engine::{Accel, VmmSpec};
use banger_net_control::{NetIdentity, Publish};
use banger_ops::{
    ContainerAt, HostResult, ImageSource, Plan, PlanKind, TemplateFacts, TemplateFiles,
};
use banger_secret::{SecretName, SecretUse};
use banger_store::VmRecord;

use crate::content::{SIZE, made};
use crate::fault::Nature;
use crate::machine::Machine;
use crate::tamper::Tamper;

/// Name of the only container image in the registries.
const REFERENCE: &str = "app";
/// Recipes; the second one makes images without a work seed.
pub(crate) const RECIPES: [&str; 2] = ["debian", "alpine"];

/// The surroundings.
pub(crate) struct SimEnvironment {
    pub(crate) machine: Arc<Machine>,
    pub(crate) tamper: &'static dyn Tamper,
    /// True to cancel operations at their first plan.
    pub(crate) cancelling: Arc<AtomicBool>,
    /// Templates that starts would have used.
    pub(crate) wanted: Arc<Mutex<Vec<Wanted>>>,
}

impl Environment for SimEnvironment {
    fn engine(&self) -> EngineName {
        EngineName::qemu()
    }

    fn host_size(&self) -> HostSize {
        HostSize {
            cpus: 4,
            memory_mib: 4_096,
        }
    }

    fn vmms_have_users(&self) -> bool {
        true
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

    fn templates(&self) -> TemplateRules {
        TemplateRules {
            enabled: true,
            quota_bytes: u64::MAX,
        }
    }

    fn saved_key(&self, spec: &VmmSpec) -> HostResult<Option<String>> {
        Ok(Some(spec.kernel.display().to_string()))
    }

    fn template(&self, key: &ContentDigest, files: &TemplateFiles) -> Option<Template> {
        let world = self.machine.world();
        let kernel = world.ledger.templates.get(key).copied()?;
        world.files.exists(&files.state()).then_some(Template {
            key: *key,
            facts: TemplateFacts {
                kernel,
                vcpu: 1,
                memory_mib: 512,
                made_ms: 0,
            },
            used_ms: 0,
            bytes: SIZE,
        })
    }

    fn template_is_used(&self, _files: &TemplateFiles) {}

    /// The scenarios make it when they want to.
    fn template_is_wanted(&self, _control: &Control, wanted: Wanted) {
        let mut all = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(wanted);
    }

    fn boot_files(&self, kernel: &Path) -> HostResult<BootFiles> {
        Ok(BootFiles {
            kernel: kernel.join("vmlinux"),
            initramfs: kernel.join("initramfs.cpio"),
            image_sha256: String::new(),
            modules: Some(kernel.join("modules.ext4")),
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
        image.join("base.img")
    }

    fn seed_of(&self, image: &Path) -> PathBuf {
        image.join("seed.img")
    }

    fn recipes(&self) -> Vec<&'static str> {
        RECIPES.to_vec()
    }

    fn image_defaults(&self, _image: &Path) -> ImageDefaults {
        ImageDefaults::default()
    }

    fn files_of(&self, _image: &Path) -> Vec<FileUse> {
        Vec::new()
    }

    fn image_details(&self, image: &Path) -> HostResult<ImageDetails> {
        let message = format!("{} has no details", image.display());
        Err(ApiError::new(ErrorCode::NotFound, message))
    }

    fn image_origin(&self, image: &Path) -> HostResult<Option<ImageOrigin>> {
        let what = made(&self.machine.world(), image)?;
        Ok(what
            .split_once('@')
            .map(|(reference, manifest)| ImageOrigin {
                reference: reference.to_owned(),
                manifest: manifest.to_owned(),
            }))
    }

    fn chosen_seed(
        &self,
        _image: &Path,
        _source: &ImageSource,
    ) -> HostResult<Option<&'static str>> {
        Ok(None)
    }

    fn pull(&self, request: &PullImage) -> HostResult<Box<dyn Fetch>> {
        let manifest = match &request.source {
            PullSource::Path { tag, .. } => tag.clone(),
            PullSource::Registry { .. } => None,
        };
        Ok(Box::new(SimFetch {
            manifest: manifest.unwrap_or_default(),
        }))
    }

    /// Nothing to do: the scenarios follow VMMs and runs themselves.
    fn vm_runs(&self, _control: &Control, _vm: &VmRecord) {}

    fn net_runs(&self, _control: &Control, _vm: &VmRecord) {}

    fn set_policy(&self, _net: &NetIdentity, _policy: Policy) -> HostResult<()> {
        Ok(())
    }

    fn set_ports(
        &self,
        net: &NetIdentity,
        ports: &[Publish],
        _address: Option<Ipv4Addr>,
    ) -> HostResult<Vec<(Publish, String)>> {
        let leaves = self.tamper.leaves_ports();
        self.machine.act(
            Nature::Wait,
            "set ports",
            &net.dir,
            Duration::from_secs(5),
            |world, _extent| {
                let wanted = ports.iter().map(|port| (port.host_ip, port.host_port));
                world.processes.set_ports(net, wanted.collect(), leaves);
                Ok(Vec::new())
            },
        )
    }

    fn has_secret(&self, _name: &SecretName) -> HostResult<bool> {
        Ok(true)
    }

    fn set_secrets(&self, _net: &NetIdentity, _uses: &[SecretUse]) -> HostResult<()> {
        Ok(())
    }

    fn rules_of(&self, _set: SetName) -> HostResult<Vec<Rule>> {
        Ok(Vec::new())
    }

    fn net_is_missing(&self, _control: &Control, vm: VmId) {
        self.machine.world().ledger.lack_nets.insert(vm);
    }

    fn run_is_expected(&self, _control: &Control, _vm: VmId) {}

    fn vm_is_gone(&self, _vm: VmId) {}

    fn planned(&self, plan: &mut Plan, op: Option<&Running>) {
        if plan.kind == PlanKind::RestoreVm
            && let Some(vm) = plan.vm
            && let Some(work) = self.machine.world().ledger.work.get_mut(&vm)
        {
            // It may have been done or not, whatever becomes of it.
            *work = None;
        }
        self.tamper.plan(plan);
        if self.cancelling.load(Ordering::Relaxed)
            && let Some(op) = op
        {
            op.cancel();
        }
    }
}

/// The current image `app` of the registry.
struct SimFetch {
    manifest: String,
}

impl Fetch for SimFetch {
    fn reference(&self) -> &str {
        REFERENCE
    }

    fn hold(&self, _op: &Running) -> Result<Box<dyn Send>, ApiError> {
        Ok(Box::new(()))
    }

    fn fetch(&self, _known: Option<&str>, _op: &Running) -> Result<Fetched, ApiError> {
        Ok(Fetched {
            at: ContainerAt::Cache(self.manifest.clone()),
            index: None,
        })
    }

    fn manifest(&self, _at: &ContainerAt) -> Result<String, ApiError> {
        Ok(self.manifest.clone())
    }
}
