//! Translation of a VM's record into the settings of its engine and its guest for a start.

use std::path::PathBuf;

use banger_api::{ApiError, ContentDigest, ErrorCode};
use banger_engine::{
    Below, DiskSpec, LaunchToken, Memory, NET_PROCESS_SOCKET, NET_SOCKET, NetSpec, VmmSpec,
};
use banger_net_control::{Link, NET_CONFIG_VERSION, NET_CONTROL, NameServers, NetConfig};
use banger_ops::plans::StartVm;
use banger_ops::steps::NetLaunch;
use banger_ops::{GuestSetup, LayerFiles, NetPlan, VmFiles};
use banger_store::{OwnKernel, VmRecord};
use uuid::Uuid;

use super::serial::{BASE, MODULES, SYSTEM, WORK};
use super::users;
use crate::Control;

/// Time for a guest to become reachable: emulation on a busy host is slow, and a VMM that dies is noticed at once.
const BOOT_DEADLINE_MS: u64 = 180_000;
/// Port of name servers.
const DNS_PORT: u16 = 53;
/// Digits of a kernel's digest that tell any two kernels of one VM apart.
const LAYER_DIGITS: usize = 24;

/// The plan's input for a start of `vm`.
///
/// # Errors
/// `host_not_ready` without a VMM; `internal` when the VM's disks or kernel are gone.
pub(super) fn start_vm(
    control: &Control,
    vm: &VmRecord,
    files: &VmFiles,
) -> Result<StartVm, ApiError> {
    let kernel_dir = control.places().kernel(&vm.kernel_digest);
    let boot = control.environment().boot_files(&kernel_dir)?;
    let host = control.runner().host();
    let make_initramfs = !host.exists(&boot.initramfs)?;
    let work_len = host.file_len(&files.work_disk())?.ok_or_else(|| {
        let message = format!(
            "the work disk of VM \"{}\" is missing: {}",
            vm.name,
            files.work_disk().display()
        );
        ApiError::new(ErrorCode::Internal, message)
    })?;
    let layered = !vm.disks.layers.is_empty();
    let own = vm.own_kernel == OwnKernel::Taken;
    let with_modules = boot.modules.is_some();
    let network = NetPlan::of(vm);
    let image = control.places().image(&vm.image_digest);
    let of_image = control.environment().image_defaults(&image);
    let spec = VmmSpec {
        vm_id: vm.id.0,
        vm_name: vm.name.to_string(),
        launch_token: LaunchToken::of(Uuid::new_v4()),
        dir: files.run.to_path_buf(),
        kernel: boot.kernel,
        initramfs: boot.initramfs,
        cmdline_extra: of_image.kernel_words,
        vcpu: vm.vcpu,
        memory_mib: vm.memory_mib,
        memory: Memory::Own,
        disks: disks(
            control,
            vm,
            control.environment().base_of(&image),
            files,
            boot.modules,
        ),
        net: network.as_ref().map_or(NetSpec::None, NetPlan::device),
        console_log: files.console_log(),
        accel: boot.accel,
        user: users::free(control, vm.id.0)?,
    };
    let launch = network
        .as_ref()
        .filter(|_| vm.has_net_process())
        .map(|network| net_launch(control, vm, files, network, spec.user));
    Ok(StartVm {
        spec,
        network: launch,
        setup: GuestSetup {
            vm: vm.id,
            name: vm.name.clone(),
            network,
            ssh_host_key: files.ssh_host_key(),
            defaults: of_image.guest,
            bare: false,
            modules: with_modules.then(|| modules_layer(&vm.kernel_digest)),
            woken: false,
            kernel: vm.kernel.to_string(),
            own_kernel: own.then_some(boot.image_sha256),
        },
        kernel_dir: kernel_dir.to_path_buf(),
        boot_deadline_ms: BOOT_DEADLINE_MS,
        // The size of a disk over layers is not that of its file.
        grow_work_disk: (layered || work_len < vm.disk_bytes).then_some(vm.disk_bytes),
        make_initramfs,
        forget_memory: host.exists(&files.suspended())?,
        template: None,
    })
}

/// The launch of a VM's network process, which is `user` where the VMM is.
pub(super) fn net_launch(
    control: &Control,
    vm: &VmRecord,
    files: &VmFiles,
    network: &NetPlan,
    user: Option<u32>,
) -> NetLaunch {
    let run = |name: &str| files.run.join(name);
    let name_server = control.defaults().name_server;
    NetLaunch {
        dir: files.run.to_path_buf(),
        user,
        config: NetConfig {
            version: NET_CONFIG_VERSION,
            vm_id: vm.id.0,
            vm_name: vm.name.to_string(),
            launch_token: LaunchToken::of(Uuid::new_v4()).to_string(),
            link: Link {
                own: run(NET_PROCESS_SOCKET),
                peer: run(NET_SOCKET),
            },
            control: run(NET_CONTROL),
            audit: Some(files.state.to_path_buf()),
            guest: network.link(),
            dns: NameServers {
                servers: name_server
                    .map(|ip| (ip, DNS_PORT).into())
                    .into_iter()
                    .collect(),
                ..NameServers::default()
            },
            // The daemon's own, found when the process starts.
            proxy: None,
            publish: network.ports(),
            secrets: vm.network.secrets.clone(),
            policy: vm.policy(),
        },
    }
}

/// Directory of the system disk for what a guest adds to the modules of its kernel.
fn modules_layer(kernel: &ContentDigest) -> String {
    let short: String = kernel.to_string().chars().take(LAYER_DIGITS).collect();
    format!("modules-{short}")
}

fn disks(
    control: &Control,
    vm: &VmRecord,
    base: PathBuf,
    files: &VmFiles,
    modules: Option<PathBuf>,
) -> Vec<DiskSpec> {
    let disk = |path, serial: &str, read_only| DiskSpec {
        path,
        below: None,
        serial: serial.to_owned(),
        read_only,
    };
    let layers = vm.disks.layers.iter().map(|id| control.places().layer(*id));
    let layers: Vec<LayerFiles> = layers.collect();
    let over = |path, serial, file: fn(&LayerFiles) -> PathBuf, bytes| DiskSpec {
        below: (!layers.is_empty()).then(|| Below {
            layers: layers.iter().map(file).collect(),
            bytes,
        }),
        ..disk(path, serial, false)
    };
    let (system, work) = (files.system_overlay(), files.work_disk());
    let mut disks = vec![
        disk(base, BASE, true),
        over(system, SYSTEM, LayerFiles::system, vm.overlay_bytes),
        over(work, WORK, LayerFiles::work, vm.disk_bytes),
    ];
    disks.extend(modules.map(|modules| disk(modules, MODULES, true)));
    disks
}
