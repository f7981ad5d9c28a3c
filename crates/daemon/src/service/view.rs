//! A VM's record as users see it.

use banger_api::vm::{NetMode, Vm, VmState};
use banger_store::VmRecord;

use crate::operations::timestamp;

/// The view of a record.
pub(crate) fn vm_view(record: &VmRecord) -> Vm {
    // In user mode the host reaches the guest at what is published on loopback.
    let reachable = record.net == NetMode::User && record.state == VmState::Running;
    let address = record
        .publish
        .first()
        .filter(|_| reachable)
        .map(|p| p.host_ip.to_string());
    Vm {
        id: record.id,
        name: record.name.clone(),
        state: record.state,
        image: record.image.clone(),
        kernel: record.kernel.clone(),
        engine: record.engine.clone(),
        vcpu: record.vcpu,
        memory_mib: record.memory_mib,
        disk_bytes: record.disk_bytes,
        overlay_bytes: record.overlay_bytes,
        net: record.net,
        egress: record.egress,
        // Remembered without a network, and published again with one.
        publish: match record.net {
            NetMode::None => Vec::new(),
            NetMode::User => record.publish.clone(),
        },
        address,
        created_at: timestamp(record.created_ms),
        started_at: record.started_ms.map(timestamp),
        ephemeral: record.ephemeral,
        restart: record.restart,
        restart_needed: record.restart_needed && record.state == VmState::Running,
        error: record.error.clone(),
    }
}
