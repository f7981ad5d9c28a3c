//! The model daemon's requests about VMs.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use banger_api::vm::{Egress, NetMode, Publish, RestartPolicy, VmState};
use banger_api::{ApiError, ErrorCode, VmId};
use banger_engine::{Accel, DiskSpec, NetSpec, VmmSpec};
use banger_ops::policy::{self, Request};
use banger_ops::{GuestDefaults, GuestSetup, HostResult, SeedWish, plans, store_error};
use banger_store::{OperationRecord, VmRecord, image, kernel, operation, vm};
use uuid::Uuid;

use crate::content::SIZE;
use crate::control::{Control, not_found, staging};
use crate::layout;

/// Time for a guest to boot, ms.
pub(crate) const BOOT_MS: u64 = 60_000;
/// Time for a guest to go down, ms.
const STOP_MS: u64 = 10_000;

impl Control<'_> {
    /// Makes a VM from an image and a kernel by name.
    pub(crate) fn create(&self, name: &str, from: &From<'_>) -> HostResult<VmId> {
        let image = self
            .read(|db| image::by_name(db, from.image))?
            .ok_or_else(|| not_found(from.image))?;
        let kernel = self
            .read(|db| kernel::by_name(db, from.kernel))?
            .ok_or_else(|| not_found(from.kernel))?;
        let publish = from.port.map(|port| Publish {
            host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host_port: port,
            guest_port: 80,
        });
        let record = VmRecord {
            id: VmId::new(),
            name: name
                .parse()
                .map_err(|error| ApiError::new(ErrorCode::InvalidArgument, format!("{error}")))?,
            state: VmState::Created,
            image: image.name,
            image_digest: image.digest.clone(),
            kernel: kernel.name,
            kernel_digest: kernel.digest,
            engine: "sim".to_owned(),
            vcpu: 1,
            memory_mib: 128,
            disk_bytes: if from.grown { 2 * SIZE } else { SIZE },
            overlay_bytes: SIZE,
            net: NetMode::User,
            egress: Egress::All,
            publish: publish.into_iter().collect(),
            ephemeral: false,
            restart: from.restart,
            restart_needed: false,
            vmm: None,
            created_ms: self.host().now_ms(),
            started_ms: None,
            error: None,
        };
        let id = record.id;
        let seed = from
            .seeded
            .then(|| (layout::image_dir(&image.digest).join("seed.img"), SIZE));
        self.locked(id, || {
            self.operation("create_vm", Some((id, name)), |op| {
                let disks = plans::CreateDisks { seed };
                self.run(plans::create(op, &record, &layout::files(id), &disks))
            })
        })?;
        let mut world = self.machine.world();
        let work = layout::work_disk(id);
        let content = match world.files.file(&work) {
            Some((crate::fs::Content::Whole(content), _)) => Some(content),
            _ => None,
        };
        world.ledger.work.insert(id, content);
        Ok(id)
    }

    /// Boots a VM.
    pub(crate) fn start(&self, name: &str) -> HostResult<()> {
        self.with_vm(name, |vm| {
            if !policy::check(Request::Start, name, vm.state)? {
                return Ok(());
            }
            self.operation("start_vm", Some((vm.id, name)), |op| {
                let files = layout::files(vm.id);
                let start = self.start_of(&vm, &files)?;
                self.run(plans::start(op, &vm, &files, &start))
            })
        })
    }

    /// Makes an image of a VM that does not run.
    pub(crate) fn save(&self, name: &str, image: &str) -> HostResult<()> {
        self.with_vm(name, |vm| {
            policy::check(Request::Save, name, vm.state)?;
            let files = layout::files(vm.id);
            let start = self.start_of(&vm, &files)?;
            self.operation("save_vm", None, |op| {
                let work = staging(op).with_extension("save");
                let clone = |path: PathBuf, serial: &str| DiskSpec {
                    path,
                    serial: serial.to_owned(),
                    read_only: false,
                };
                let helper = VmId::new();
                let base = start.spec.disks[0].clone();
                let save = plans::SaveVm {
                    vm: vm.name.clone(),
                    files: files.clone(),
                    staging: staging(op),
                    spec: VmmSpec {
                        vm_id: helper.0,
                        dir: work.clone(),
                        disks: vec![
                            base,
                            clone(plans::system_clone(&work), "system"),
                            clone(plans::work_clone(&work), "work"),
                        ],
                        net: NetSpec::None,
                        console_log: work.join("console.log"),
                        ..start.spec.clone()
                    },
                    setup: GuestSetup {
                        vm: helper,
                        bare: true,
                        ..start.setup.clone()
                    },
                    initramfs_of: start.make_initramfs.then(|| start.kernel_dir.clone()),
                    boot_deadline_ms: BOOT_MS,
                    image: layout::image_dir(&vm.image_digest),
                    seed: SeedWish::default(),
                    work,
                };
                self.run(plans::save_vm(op, save))?;
                self.publish_made(op, image)
            })
        })
    }

    fn start_of(&self, vm: &VmRecord, files: &banger_ops::VmFiles) -> HostResult<plans::StartVm> {
        let kernel_dir = layout::kernel_dir(&vm.kernel_digest);
        let initramfs = kernel_dir.join("initramfs.cpio");
        let make_initramfs = !self.host().exists(&initramfs)?;
        let present = self.host().file_len(&files.work_disk())?.unwrap_or(0);
        let disk = |path, serial: &str, read_only| DiskSpec {
            path,
            serial: serial.to_owned(),
            read_only,
        };
        let publish = vm.publish.iter().map(|port| banger_engine::Publish {
            host_ip: port.host_ip,
            host_port: port.host_port,
            guest_port: port.guest_port,
        });
        let spec = VmmSpec {
            vm_id: vm.id.0,
            vm_name: vm.name.to_string(),
            launch_token: Uuid::new_v4().to_string(),
            dir: files.run.clone(),
            kernel: kernel_dir.join("vmlinux"),
            initramfs,
            cmdline_extra: Vec::new(),
            vcpu: vm.vcpu,
            memory_mib: vm.memory_mib,
            disks: vec![
                disk(
                    layout::image_dir(&vm.image_digest).join("base.img"),
                    "base",
                    true,
                ),
                disk(files.system_overlay(), "system", false),
                disk(files.work_disk(), "work", false),
            ],
            net: NetSpec::User {
                mac: plans::mac_of(vm.id),
                egress: true,
                publish: publish.collect(),
            },
            console_log: files.console_log(),
            accel: Accel::Tcg,
        };
        let setup = GuestSetup {
            vm: vm.id,
            name: vm.name.clone(),
            net: vm.net,
            egress: vm.egress,
            mac: plans::mac_of(vm.id),
            relays: Vec::new(),
            ssh_host_key: files.ssh_host_key(),
            defaults: GuestDefaults::default(),
            bare: false,
        };
        Ok(plans::StartVm {
            spec,
            setup,
            kernel_dir,
            boot_deadline_ms: BOOT_MS,
            grow_work_disk: (present < vm.disk_bytes).then_some(vm.disk_bytes),
            make_initramfs,
        })
    }

    /// Stops a VM in order.
    pub(crate) fn stop(&self, name: &str) -> HostResult<()> {
        self.with_vm(name, |vm| {
            if !policy::check(Request::Stop, name, vm.state)? {
                return Ok(());
            }
            self.operation("stop_vm", Some((vm.id, name)), |op| {
                self.run(plans::stop(op, &vm, &layout::files(vm.id), STOP_MS))
            })
        })
    }

    /// Ends a VM's VMM with a signal.
    pub(crate) fn kill(&self, name: &str, signal: i32) -> HostResult<()> {
        self.with_vm(name, |vm| {
            if !policy::check(Request::Kill, name, vm.state)? {
                return Ok(());
            }
            self.operation("kill_vm", Some((vm.id, name)), |op| {
                self.run(plans::kill(op, &vm, &layout::files(vm.id), signal))
            })
        })
    }

    /// Removes a VM.
    pub(crate) fn delete(&self, name: &str) -> HostResult<()> {
        self.with_vm(name, |vm| {
            policy::check(Request::Delete { force: true }, name, vm.state)?;
            self.machine.world().ledger.doomed.insert(vm.id);
            self.operation("delete_vm", Some((vm.id, name)), |op| {
                self.run(plans::delete(op, &vm, &layout::files(vm.id)))?;
                self.forget_superseded(op);
                Ok(())
            })
        })
    }

    /// What the daemon does when it sees that a VM's VMM ended by itself.
    pub(crate) fn watch(&self, name: &str) -> HostResult<()> {
        self.with_vm(name, |vm| {
            let gone = vm.state == VmState::Running
                && plans::identity(&vm)
                    .is_some_and(|vmm| self.machine.world().processes.same(&vmm).is_none());
            if !gone {
                return Ok(());
            }
            let vmm = plans::identity(&vm).ok_or_else(|| not_found(name))?;
            let Some(cause) = self.host().vmm_exit(&vmm)? else {
                return Ok(());
            };
            let plan = plans::end_after_exit(&vm, &cause);
            let record = OperationRecord {
                id: plan.operation,
                kind: "recover_vm".to_owned(),
                vm: Some(vm.id),
                vm_name: Some(name.to_owned()),
                state: "done".to_owned(),
                started_ms: self.host().now_ms(),
                finished_ms: Some(self.host().now_ms()),
                error: None,
            };
            self.store()
                .write(move |tx| operation::insert_operation(tx, &record))
                .map_err(store_error)?;
            self.run(plan)
        })
    }

    /// Sets the size of a work disk for the next start.
    pub(crate) fn set_disk(&self, name: &str, bytes: u64) -> HostResult<()> {
        self.with_vm(name, |mut vm| {
            vm.disk_bytes = vm.disk_bytes.max(bytes);
            let written = self.store().write(move |tx| {
                // What an image is called changes without the locks of its VMs.
                if let Some(now) = vm::by_id(tx, vm.id)? {
                    vm.image = now.image;
                }
                vm::update(tx, &vm)
            });
            written.map(|_| ()).map_err(store_error)
        })
    }
}

/// What a VM is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From<'a> {
    pub(crate) image: &'a str,
    pub(crate) kernel: &'a str,
    /// From the image's work seed.
    pub(crate) seeded: bool,
    /// The work disk is larger than the seed.
    pub(crate) grown: bool,
    /// A published port.
    pub(crate) port: Option<u16>,
    /// Whether it is started again when it was lost.
    pub(crate) restart: RestartPolicy,
}
