//! A VM's record as users see it.

use std::net::IpAddr;

use banger_api::jail::{JailLevel, VmJail};
use banger_api::vm::{MachineSize, Vm, VmState};
use banger_engine::{JailRecord, Layers};
use banger_ops::NetPlan;
use banger_store::{OwnKernel, VmRecord};

use crate::operations::timestamp;

/// Message about a damaged record.
pub(crate) fn damaged(why: &str) -> String {
    format!("its record in the store is damaged: {why}")
}

/// The view of a record. Conditions are not recorded: the daemon, which watches the VMs, adds them.
pub fn vm_view(record: &VmRecord) -> Vm {
    // The host reaches the guest at its own address, or at its ports that are published on loopback.
    let own = record.network.address.filter(|_| record.has_net_process());
    let published = || record.published().first().map(|port| port.host_ip);
    let address = own
        .map(IpAddr::V4)
        .or_else(published)
        .filter(|_| record.state == VmState::Running)
        .map(|address| address.to_string());
    Vm {
        id: record.id,
        name: record.name.clone(),
        state: record.state,
        image: record.image.clone(),
        kernel: record.kernel.clone(),
        own_kernel: record.own_kernel != OwnKernel::No,
        engine: record.engine.clone(),
        vcpu: record.vcpu,
        memory_mib: record.memory_mib,
        disk_bytes: record.disk_bytes,
        overlay_bytes: record.overlay_bytes,
        net: record.net,
        stack: record.network.stack,
        egress: record.egress,
        rules: super::rules::rules_of(record),
        reaches_host: NetPlan::of(record).is_some_and(|plan| plan.reaches_host()),
        secrets: super::rules::secrets_of(record),
        publish: record.published().to_vec(),
        joined: record.network.joined.clone(),
        servers: Vec::new(),
        url: None,
        address,
        created_at: timestamp(record.created_ms),
        started_at: record.started_ms.map(timestamp),
        ephemeral: record.ephemeral,
        restart: record.restart,
        labels: record.labels.clone(),
        restart_needed: record.restart_needed && record.state == VmState::Running,
        runs: runs(record),
        error: record.error.clone(),
        exit: record.exit.clone(),
        conditions: Vec::new(),
        jail: record
            .vmm
            .identity()
            .and_then(|vmm| vmm.jail.as_ref())
            .map(jail),
    }
}

/// The size of the machine that runs, when it is not that of the settings.
pub(crate) fn runs(record: &VmRecord) -> Option<MachineSize> {
    let runs = record.runs.filter(|_| record.state == VmState::Running)?;
    let set = MachineSize {
        vcpu: record.vcpu,
        memory_mib: record.memory_mib,
    };
    (runs != set).then_some(runs)
}

fn jail(record: &JailRecord) -> VmJail {
    let JailRecord { layers, lacks, .. } = record;
    VmJail {
        level: jail_level(layers),
        namespaces: layers.namespaces,
        network_namespace: layers.network_namespace,
        landlock_abi: layers.landlock_abi,
        seccomp: layers.seccomp,
        user: layers.user,
        control_group: layers.control_group,
        lacks: lacks.clone(),
    }
}

/// The word for a jail of these layers.
pub fn jail_level(layers: &Layers) -> JailLevel {
    match (layers.is_full(), layers.guards_files()) {
        (true, _) => JailLevel::Full,
        (false, true) => JailLevel::Files,
        (false, false) => JailLevel::None,
    }
}
