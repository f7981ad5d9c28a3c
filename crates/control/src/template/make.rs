//! Making a template, in the background.

use std::sync::Arc;

use banger_api::operation::OperationKind;
use banger_api::{ApiError, ContentDigest, VmId, VmName};
use banger_engine::{DiskSpec, LaunchToken, Memory, NetSpec, VmmSpec};
use banger_ops::plans::{self, MakeTemplate, StartVm};
use banger_ops::{GuestDefaults, GuestSetup, OwnDir, TemplateFacts, TemplateFiles};
use uuid::Uuid;

use super::{key, remove, wake};
use crate::Control;
use crate::locks::Key;
use crate::operations::{Asked, Running};
use crate::vm::{SYSTEM, WORK, free_user};

/// Name of the VMs in which templates are made, in process lists.
const NAME: &str = "template";
/// The SSH host key that every guest is told, in the work directory. The guest of a trial serves nobody.
const HOST_KEY: &str = "ssh_host_ed25519_key";

/// A template that a start would have used.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its key.
    pub key: ContentDigest,
    /// Its kernel.
    pub(super) kernel: ContentDigest,
    /// The start.
    pub(super) start: StartVm,
}

/// Makes a template in an operation of its own, unless it is there by the time of its turn.
///
/// # Errors
/// Only the store's: the rest is the operation's.
pub fn make(control: &Control, wanted: Wanted) -> Result<Arc<Running>, ApiError> {
    // The kernel stays while something is made of it.
    let keys = vec![Key::KernelFiles(wanted.kernel)];
    let asked = Asked::files(OperationKind::MakeTemplate, keys);
    let task = control.clone();
    control.operations().spawn(asked, move |op, _locked| {
        let target = task.places().template(&wanted.key);
        let host = task.runner().host();
        if host.exists(&target)? || !task.environment().templates().enabled {
            return Ok(());
        }
        let make = inputs(&task, op, &wanted, target)?;
        // What it was asked for may not be what it has become.
        if key::of_spec(&task, &wanted.kernel, &make.spec)? != Some(wanted.key) {
            return Ok(());
        }
        task.run(plans::make_template(op.id, &name()?, make), op)?;
        remove::keep_quota(&task, op)
    })
}

fn name() -> Result<VmName, ApiError> {
    NAME.parse().map_err(|error| {
        let message = format!("VM name \"{NAME}\": {error}");
        ApiError::new(banger_api::ErrorCode::Internal, message)
    })
}

fn inputs(
    control: &Control,
    op: &Running,
    wanted: &Wanted,
    target: OwnDir,
) -> Result<MakeTemplate, ApiError> {
    let start = &wanted.start;
    let work = control.places().making(op.id, "saving");
    let made = TemplateFiles {
        dir: control.places().making(op.id, "template"),
    };
    let guest = VmId::new();
    let spec = VmmSpec {
        vm_id: guest.0,
        vm_name: NAME.to_owned(),
        launch_token: LaunchToken::of(Uuid::new_v4()),
        dir: work.to_path_buf(),
        memory: Memory::File {
            file: made.memory(),
        },
        disks: start
            .spec
            .disks
            .iter()
            .map(|disk| own_disk(disk, &work))
            .collect(),
        net: quiet(&start.spec.net),
        console_log: work.join("console.log"),
        user: free_user(control, guest.0)?,
        ..start.spec.clone()
    };
    let trial = VmmSpec {
        launch_token: LaunchToken::of(Uuid::new_v4()),
        memory: Memory::Saved {
            file: MakeTemplate::copy(&work),
            state: made.state(),
        },
        ..spec.clone()
    };
    let facts = TemplateFacts {
        kernel: wanted.kernel,
        vcpu: spec.vcpu,
        memory_mib: spec.memory_mib,
        made_ms: control.now_ms(),
    };
    let host = control.runner().host();
    let lacks_initramfs = !host.exists(&spec.initramfs)?;
    Ok(MakeTemplate {
        setup: GuestSetup {
            vm: guest,
            name: name()?,
            network: None,
            ssh_host_key: work.join(HOST_KEY),
            defaults: GuestDefaults::default(),
            bare: true,
            modules: None,
            kernel: String::new(),
            own_kernel: None,
            woken: true,
        },
        work,
        made,
        target,
        spec,
        trial,
        initramfs_of: lacks_initramfs.then(|| start.kernel_dir.clone()),
        facts,
        boot_deadline_ms: start.boot_deadline_ms,
        wake_deadline_ms: wake::WAKE_DEADLINE_MS,
    })
}

/// The disk of the same kind for a guest that is only saved and tried: nothing of any VM.
fn own_disk(disk: &DiskSpec, work: &OwnDir) -> DiskSpec {
    let path = match disk.serial.as_str() {
        SYSTEM => MakeTemplate::system(work),
        WORK => MakeTemplate::disk(work),
        // Shared, and read-only.
        _ => disk.path.clone(),
    };
    DiskSpec {
        path,
        below: None,
        ..disk.clone()
    }
}

/// The same device with nothing behind it.
fn quiet(net: &NetSpec) -> NetSpec {
    match net {
        NetSpec::User { mac, .. } => NetSpec::User {
            mac: *mac,
            egress: false,
            publish: Vec::new(),
        },
        other => other.clone(),
    }
}
