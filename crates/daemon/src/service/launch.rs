//! From a VM's record to what its engine and its guest need for a start.

use banger_api::vm::{Egress, NetMode};
use banger_api::{ApiError, ErrorCode};
use banger_engine::{DiskSpec, NetSpec, Publish, VmmSpec};
use banger_ops::plans::{self, StartVm};
use banger_ops::{GuestDefaults, GuestSetup, VmFiles};
use banger_store::VmRecord;
use uuid::Uuid;

use super::published::Ways;
use crate::context::Daemon;
use crate::guest_files::{BASE, SYSTEM, WORK};

/// Time for a guest to become reachable: emulation on a busy host is slow, and a VMM that dies is noticed at once.
const BOOT_DEADLINE_MS: u64 = 180_000;

/// What a start of `vm` needs.
///
/// # Errors
/// `host_not_ready` without a VMM; `internal` when the VM's disks or kernel are gone.
pub(super) fn start_vm(
    daemon: &Daemon,
    vm: &VmRecord,
    files: &VmFiles,
) -> Result<StartVm, ApiError> {
    if let Err(reason) = &daemon.probe.available {
        return Err(ApiError::new(ErrorCode::HostNotReady, reason.clone())
            .hint("banger doctor shows what is missing and how to get it"));
    }
    let kernel_dir = daemon.paths.kernels().join(&vm.kernel_digest);
    let metadata = banger_kernel::KernelMetadata::read(&kernel_dir).map_err(|error| {
        ApiError::new(
            ErrorCode::Internal,
            format!("kernel \"{}\" cannot be read: {error}", vm.kernel),
        )
    })?;
    let image = metadata.qemu_image().ok_or_else(|| {
        let message = format!(
            "kernel \"{}\" has no image that the engine can boot",
            vm.kernel
        );
        ApiError::new(ErrorCode::InvalidArgument, message)
    })?;
    let initramfs = banger_kernel::initramfs_path(&kernel_dir, banger_agent_embed::AGENT_DIGEST);
    let work_len = daemon
        .runner
        .host()
        .file_len(&files.work_disk())?
        .ok_or_else(|| {
            let message = format!(
                "the work disk of VM \"{}\" is missing: {}",
                vm.name,
                files.work_disk().display()
            );
            ApiError::new(ErrorCode::Internal, message)
        })?;
    let mac = plans::mac_of(vm.id);
    let ways = Ways::of(&vm.publish);
    let spec = VmmSpec {
        vm_id: vm.id.0,
        vm_name: vm.name.to_string(),
        launch_token: format!("banger-{}", Uuid::new_v4().simple()),
        dir: files.run.clone(),
        kernel: kernel_dir.join(image),
        initramfs: initramfs.clone(),
        cmdline_extra: Vec::new(),
        vcpu: vm.vcpu,
        memory_mib: vm.memory_mib,
        disks: disks(daemon, vm, files),
        net: net(vm, mac, &ways),
        console_log: files.console_log(),
        accel: daemon.probe.accel,
    };
    Ok(StartVm {
        spec,
        setup: GuestSetup {
            vm: vm.id,
            name: vm.name.clone(),
            net: vm.net,
            egress: vm.egress,
            mac,
            relays: match vm.net {
                NetMode::None => Vec::new(),
                NetMode::User => ways.relays(),
            },
            ssh_host_key: files.ssh_host_key(),
            defaults: defaults_of(daemon, vm),
            bare: false,
        },
        kernel_dir,
        boot_deadline_ms: BOOT_DEADLINE_MS,
        grow_work_disk: (work_len < vm.disk_bytes).then_some(vm.disk_bytes),
        make_initramfs: !initramfs.exists(),
    })
}

/// What the image of a VM says about running it. An image whose description cannot be read any more says nothing: its
/// VMs start all the same.
fn defaults_of(daemon: &Daemon, vm: &VmRecord) -> GuestDefaults {
    let folder = daemon.paths.images().join(&vm.image_digest);
    let metadata = match banger_image::ImageMetadata::read(&folder) {
        Ok(metadata) => metadata,
        Err(error) => {
            tracing::warn!(vm = %vm.name, %error, "the image's description cannot be read");
            return GuestDefaults::default();
        }
    };
    let own = metadata.defaults;
    let said = |text: String| (!text.is_empty()).then_some(text);
    GuestDefaults {
        env: own
            .variables()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        user: said(own.user),
        cwd: said(own.working_dir),
        entrypoint: own.entrypoint,
        cmd: own.cmd,
    }
}

fn disks(daemon: &Daemon, vm: &VmRecord, files: &VmFiles) -> Vec<DiskSpec> {
    let base = daemon
        .paths
        .images()
        .join(&vm.image_digest)
        .join(banger_image::BASE);
    let disk = |path, serial: &str, read_only| DiskSpec {
        path,
        serial: serial.to_owned(),
        read_only,
    };
    vec![
        disk(base, BASE, true),
        disk(files.system_overlay(), SYSTEM, false),
        disk(files.work_disk(), WORK, false),
    ]
}

fn net(vm: &VmRecord, mac: [u8; 6], ways: &Ways) -> NetSpec {
    match vm.net {
        NetMode::None => NetSpec::None,
        NetMode::User => NetSpec::User {
            mac,
            egress: vm.egress == Egress::All,
            publish: vm
                .publish
                .iter()
                .map(|p| Publish {
                    host_ip: p.host_ip,
                    host_port: p.host_port,
                    guest_port: ways.forwarded_to(p),
                })
                .collect(),
        },
    }
}
