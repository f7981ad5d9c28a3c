//! Knowledge of what is open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_api::VmId;
use banger_api::vm::OpenPort;
use tokio::sync::Notify;

/// Servers of all VMs that run. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct OpenPorts {
    vms: Arc<Mutex<HashMap<VmId, Known>>>,
    first: Arc<Notify>,
}

#[derive(Default)]
struct Known {
    ports: Vec<OpenPort>,
    look_again: Arc<Notify>,
}

impl OpenPorts {
    /// The servers of a VM, by port.
    pub(crate) fn of(&self, vm: VmId) -> Vec<OpenPort> {
        let known = self.lock();
        known
            .get(&vm)
            .map(|known| known.ports.clone())
            .unwrap_or_default()
    }

    pub(super) fn are(&self, vm: VmId, mut ports: Vec<OpenPort>) {
        ports.sort_by_key(|port| port.guest_port);
        if !ports.is_empty() {
            self.first.notify_one();
        }
        self.lock().entry(vm).or_default().ports = ports;
    }

    /// Waits for the first server of any VM. One may wait.
    pub(crate) async fn first(&self) {
        self.first.notified().await;
    }

    /// Another network process serves a VM: it has to be given what is open.
    pub(crate) fn look_again(&self, vm: VmId) {
        if let Some(known) = self.lock().get(&vm) {
            known.look_again.notify_one();
        }
    }

    /// The call to look again.
    pub(super) fn calls(&self, vm: VmId) -> Arc<Notify> {
        Arc::clone(&self.lock().entry(vm).or_default().look_again)
    }

    pub(super) fn forget(&self, vm: VmId) {
        self.lock().remove(&vm);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<VmId, Known>> {
        // Plain data, whole at every moment.
        self.vms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
