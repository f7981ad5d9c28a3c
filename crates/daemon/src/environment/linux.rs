//! `LinuxEnvironment`: the trait over its parts.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_api::image::ImageDetails;
use banger_api::kernel::GuestModules;
use banger_api::pull::PullImage;
use banger_api::{ApiError, ContentDigest, EngineName, ErrorCode, VmId};
use banger_control::template::{Template, TemplateRules, Wanted};
use banger_control::{
    BootFiles, Control, Environment, Fetch, FileUse, HostSize, ImageDefaults, ImageOrigin,
};
use banger_egress::{Policy, Rule, SetName};
use banger_engine::{Engine, EngineKind, Probe, VmmSpec};
use banger_kernel::KernelMetadata;
use banger_net_control::{NetIdentity, Publish};
use banger_ops::{HostResult, ImageSource, TemplateFiles, plans};
use banger_secret::{SecretName, SecretUse};
use banger_ssh::Hosts;
use banger_store::VmRecord;
use tokio::runtime::Handle;

use super::networks::Replacements;
use super::pull::Pull;
use super::templates::WantedTemplates;
use super::{images, networks, templates, watch};
use crate::channels::Channels;
use crate::conditions::{Conditions, Heartbeat};
use crate::console;
use crate::failure::chain;
use crate::paths::Paths;
use crate::peers::Peers;
use crate::ports::{self, Keeper, OpenPorts};
use crate::secrets::Shelf;
use crate::ssh_hosts;

/// This host, as requests ask about it.
pub(crate) struct LinuxEnvironment {
    pub(crate) engine: Arc<dyn Engine>,
    /// Findings of the engine at the daemon's start.
    pub(crate) probe: Probe,
    pub(crate) channels: Channels,
    pub(crate) conditions: Conditions,
    pub(crate) paths: Paths,
    pub(crate) ssh_hosts: Arc<Hosts>,
    pub(crate) secrets: Shelf,
    pub(crate) runtime: Handle,
    pub(crate) replacements: Replacements,
    pub(crate) ports: OpenPorts,
    pub(crate) peers: Arc<Peers>,
    /// Servers of guests are opened at their VM's address.
    pub(crate) opens_ports: bool,
    /// The user's wishes about templates.
    pub(crate) templates: TemplateRules,
    pub(crate) wanted_templates: WantedTemplates,
    /// This daemon is root, and wants jails.
    pub(crate) vmms_have_users: bool,
}

impl Environment for LinuxEnvironment {
    fn engine(&self) -> EngineName {
        match self.engine.kind() {
            EngineKind::Qemu => EngineName::qemu(),
        }
    }

    fn host_size(&self) -> HostSize {
        let facts = banger_engine::HostFacts::read();
        HostSize {
            cpus: u32::try_from(facts.cpus).unwrap_or(u32::MAX),
            memory_mib: facts.memory_mib,
        }
    }

    fn vmms_have_users(&self) -> bool {
        self.vmms_have_users
    }

    fn has_net_links(&self) -> bool {
        self.probe.has_datagrams
    }

    fn is_there(&self, path: &Path) -> bool {
        path.exists()
    }

    fn allocated_bytes(&self, path: &Path) -> u64 {
        banger_disk::sparse::allocated_bytes(path).unwrap_or(0)
    }

    fn console_tail(&self, log: &Path, lines: usize) -> String {
        console::tail(log, lines)
    }

    fn templates(&self) -> TemplateRules {
        self.templates
    }

    fn saved_key(&self, spec: &VmmSpec) -> HostResult<Option<String>> {
        self.engine
            .saved_key(spec)
            .map_err(|error| crate::failure::of_engine(&error))
    }

    fn template(&self, key: &ContentDigest, files: &TemplateFiles) -> Option<Template> {
        templates::read(key, files)
    }

    fn template_is_used(&self, files: &TemplateFiles) {
        templates::note_use(files);
    }

    fn template_is_wanted(&self, control: &Control, wanted: Wanted) {
        if self.wanted_templates.add(wanted.key) {
            let all = self.wanted_templates.clone();
            let making = templates::make_later(control.clone(), wanted, all);
            self.runtime.spawn(making);
        }
    }

    fn boot_files(&self, kernel: &Path) -> HostResult<BootFiles> {
        if let Err(reason) = &self.probe.available {
            return Err(ApiError::new(ErrorCode::HostNotReady, reason.clone())
                .hint("banger doctor shows what is missing and how to get it"));
        }
        let cannot = |why: String| {
            let message = format!("the kernel in {} {why}", kernel.display());
            ApiError::new(ErrorCode::Internal, message)
        };
        let metadata = KernelMetadata::read(kernel)
            .map_err(|error| cannot(format!("cannot be read: {error}")))?;
        let image = metadata.qemu_image().ok_or_else(|| ApiError {
            code: ErrorCode::InvalidArgument,
            ..cannot("has no image that the engine can boot".to_owned())
        })?;
        Ok(BootFiles {
            kernel: kernel.join(image),
            initramfs: banger_kernel::initramfs_path(kernel, banger_agent_embed::AGENT_DIGEST),
            image_sha256: metadata
                .source
                .image_digest
                .trim_start_matches("sha256:")
                .to_owned(),
            modules: modules_of(kernel, &metadata)?,
            accel: self.probe.accel,
        })
    }

    fn guest_modules(&self, kernel: &Path) -> HostResult<Option<GuestModules>> {
        let metadata = KernelMetadata::read(kernel)
            .map_err(|error| ApiError::new(ErrorCode::Internal, chain(&error)))?;
        Ok(metadata.modules_disk.map(|disk| {
            let (left_out, left_out_folders) = match disk.left_out {
                Some(left_out) => (left_out.modules, left_out.folders),
                None => (0, Vec::new()),
            };
            GuestModules {
                count: disk.modules,
                bytes: disk.file.bytes,
                left_out,
                left_out_folders,
            }
        }))
    }

    fn base_of(&self, image: &Path) -> PathBuf {
        image.join(banger_image::BASE)
    }

    fn seed_of(&self, image: &Path) -> PathBuf {
        image.join(banger_image::SEED)
    }

    fn recipes(&self) -> Vec<&'static str> {
        banger_image::Recipe::names()
    }

    fn image_defaults(&self, image: &Path) -> ImageDefaults {
        images::defaults(image)
    }

    fn files_of(&self, image: &Path) -> Vec<FileUse> {
        images::files(image)
    }

    fn image_details(&self, image: &Path) -> HostResult<ImageDetails> {
        images::details(image)
    }

    fn image_damage(&self, image: &Path) -> Option<String> {
        images::damage(image)
    }

    fn image_origin(&self, image: &Path) -> HostResult<Option<ImageOrigin>> {
        images::origin(image)
    }

    fn chosen_seed(&self, image: &Path, source: &ImageSource) -> HostResult<Option<&'static str>> {
        images::chosen_seed(image, source)
    }

    fn pull(&self, request: &PullImage) -> HostResult<Box<dyn Fetch>> {
        Ok(Box::new(Pull::of(request, &self.paths)?))
    }

    fn vm_runs(&self, control: &Control, vm: &VmRecord) {
        if let Some(vmm) = plans::identity(vm) {
            let heartbeat = Heartbeat {
                control: control.clone(),
                engine: self.engine.clone(),
                channels: self.channels.clone(),
                conditions: self.conditions.clone(),
                vm: vm.id,
                vmm: vmm.clone(),
            };
            let servers = (self.opens_ports && vm.has_net_process()).then(|| Keeper {
                control: control.clone(),
                channels: self.channels.clone(),
                ports: self.ports.clone(),
                vm: vm.id,
                vmm,
            });
            self.runtime.spawn(watch::vmm(heartbeat, servers));
        }
    }

    fn net_runs(&self, control: &Control, vm: &VmRecord) {
        if let Some(net) = vm.network.process.clone() {
            let replacements = self.replacements.clone();
            let watch = networks::watch(control.clone(), replacements, vm.id, net);
            self.runtime.spawn(watch);
            self.ports.look_again(vm.id);
            self.settle_peers(control);
            let (control, vm) = (control.clone(), vm.id);
            self.runtime.spawn_blocking(move || {
                if let Err(error) = banger_control::vm::give_secrets(&control, vm) {
                    tracing::error!(%vm, %error, "a VM has not got its secrets");
                }
            });
        }
    }

    fn has_secret(&self, name: &SecretName) -> HostResult<bool> {
        Ok(self.secrets.find(name)?.is_some())
    }

    fn set_secrets(&self, net: &NetIdentity, uses: &[SecretUse]) -> HostResult<()> {
        networks::set_secrets(&self.secrets, net, uses)
    }

    fn set_ports(
        &self,
        net: &NetIdentity,
        ports: &[Publish],
        address: Option<Ipv4Addr>,
    ) -> HostResult<Vec<(Publish, String)>> {
        ports::set_published(net, ports, address)
    }

    fn set_policy(&self, net: &NetIdentity, policy: Policy) -> HostResult<()> {
        networks::set_policy(net, policy)
    }

    fn rules_of(&self, set: SetName) -> HostResult<Vec<Rule>> {
        networks::rules_of(set)
    }

    fn net_is_missing(&self, control: &Control, vm: VmId) {
        self.runtime.spawn(networks::try_again(control.clone(), vm));
    }

    fn run_is_expected(&self, control: &Control, vm: VmId) {
        self.runtime.spawn(watch::run(control.clone(), vm));
    }

    fn vms_changed(&self, control: &Control) {
        ssh_hosts::keep(&self.ssh_hosts, control);
        self.settle_peers(control);
    }

    fn vm_is_gone(&self, vm: VmId) {
        self.channels.close(vm);
    }
}

impl LinuxEnvironment {
    /// Joins and parts VMs, on a thread that may block.
    fn settle_peers(&self, control: &Control) {
        let (control, peers) = (control.clone(), Arc::clone(&self.peers));
        self.runtime.spawn_blocking(move || peers.settle(&control));
    }
}

/// The file of a kernel's modules. One that is named and not there would be told by the VMM, in its own words.
fn modules_of(kernel: &Path, metadata: &KernelMetadata) -> HostResult<Option<PathBuf>> {
    let Some(disk) = &metadata.modules_disk else {
        return Ok(None);
    };
    let path = kernel.join(&disk.file.file);
    if path.is_file() {
        return Ok(Some(path));
    }
    let message = format!(
        "the modules of kernel {} are missing: {}",
        metadata.release,
        path.display()
    );
    Err(ApiError::new(ErrorCode::Internal, message)
        .hint("import the kernel again: banger kernel import --help"))
}
