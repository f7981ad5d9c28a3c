//! Calls about VMs. `reference` is a name, a full id or a unique prefix of an id.

use banger_api::LabelFilter;
use banger_api::network::{ChangeNetwork, CheckNetwork, NetVerdict, VmNetwork};
use banger_api::routes::{self, encode, fill};
use banger_api::vm::{
    Accepted, ChangePorts, CreateVm, Exec, KillVm, Port, PruneVms, Pruned, SetVm, StopVm, Vm,
    VmHealth, VmStats,
};
use hyper::Method;

use crate::bytestream::ByteStream;
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::Upgraded;

impl Client {
    /// All VMs.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vms(&self) -> Result<Vec<Vm>, ClientError> {
        self.vms_with(&[]).await
    }

    /// The VMs that every one of these labels selects.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vms_with(&self, labels: &[LabelFilter]) -> Result<Vec<Vm>, ClientError> {
        let mut path = routes::VMS.to_owned();
        for (n, label) in labels.iter().enumerate() {
            path.push(if n == 0 { '?' } else { '&' });
            path.push_str("label=");
            path.push_str(&encode(&label.to_string()));
        }
        let mut vms: Vec<Vm> = self.get(path).answer().await?;
        // A daemon from before there were labels answers with all.
        vms.retain(|vm| vm.labels.match_all(labels));
        Ok(vms)
    }

    /// One VM.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm(&self, reference: &str) -> Result<Vm, ClientError> {
        self.get(fill(routes::VM, reference)).answer().await
    }

    /// Makes a VM, and starts it when asked to.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn create_vm(&self, create: &CreateVm) -> Result<Accepted, ClientError> {
        self.post(routes::VMS).json(create)?.answer().await
    }

    /// Changes a VM's settings.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn set_vm(&self, reference: &str, set: &SetVm) -> Result<Vm, ClientError> {
        self.call(Method::PATCH, fill(routes::VM, reference))
            .json(set)?
            .answer()
            .await
    }

    /// Deletes a VM with its disks; a running one only with `force`.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn delete_vm(&self, reference: &str, force: bool) -> Result<Accepted, ClientError> {
        let mut path = fill(routes::VM, reference);
        if force {
            path.push_str("?force=true");
        }
        self.call(Method::DELETE, path).answer().await
    }

    /// Starts a VM.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn start_vm(&self, reference: &str) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_START, reference)).answer().await
    }

    /// Stops a VM.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn stop_vm(&self, reference: &str, stop: &StopVm) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_STOP, reference))
            .json(stop)?
            .answer()
            .await
    }

    /// Stops a VM and starts it again.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn restart_vm(
        &self,
        reference: &str,
        stop: &StopVm,
    ) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_RESTART, reference))
            .json(stop)?
            .answer()
            .await
    }

    /// Kills a VM's VMM.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn kill_vm(&self, reference: &str, kill: &KillVm) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_KILL, reference))
            .json(kill)?
            .answer()
            .await
    }

    /// Saves a VM's memory and ends its VMM.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn suspend_vm(&self, reference: &str) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_SUSPEND, reference))
            .answer()
            .await
    }

    /// Lets a guest stand still.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn pause_vm(&self, reference: &str) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_PAUSE, reference)).answer().await
    }

    /// Lets a guest that stands still go on.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn resume_vm(&self, reference: &str) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_RESUME, reference)).answer().await
    }

    /// Removes stopped VMs.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn prune_vms(&self, prune: &PruneVms) -> Result<Pruned, ClientError> {
        self.post(routes::VMS_PRUNE).json(prune)?.answer().await
    }

    /// Resources that a VM uses now.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_stats(&self, reference: &str) -> Result<VmStats, ClientError> {
        self.get(fill(routes::VM_STATS, reference)).answer().await
    }

    /// Listening ports of a VM's guest.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_ports(&self, reference: &str) -> Result<Vec<Port>, ClientError> {
        self.get(fill(routes::VM_PORTS, reference)).answer().await
    }

    /// Changes the published ports of a VM.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn change_ports(
        &self,
        reference: &str,
        change: &ChangePorts,
    ) -> Result<Vm, ClientError> {
        self.call(Method::PATCH, fill(routes::VM_PORTS, reference))
            .json(change)?
            .answer()
            .await
    }

    /// The rules of a VM's network.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_network(&self, reference: &str) -> Result<VmNetwork, ClientError> {
        self.get(fill(routes::VM_NETWORK, reference)).answer().await
    }

    /// Changes what a VM may reach.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn change_network(
        &self,
        reference: &str,
        change: &ChangeNetwork,
    ) -> Result<VmNetwork, ClientError> {
        let route = fill(routes::VM_NETWORK, reference);
        let call = self.call(Method::PATCH, route).json(change)?;
        call.answer().await
    }

    /// Asks what the rules of a VM say about a destination.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn check_network(
        &self,
        reference: &str,
        check: &CheckNetwork,
    ) -> Result<NetVerdict, ClientError> {
        let route = fill(routes::VM_NETWORK_CHECK, reference);
        self.post(route).json(check)?.answer().await
    }

    /// The audit log of a VM's network, one JSON line an event.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn network_log(&self, reference: &str) -> Result<ByteStream, ClientError> {
        let route = fill(routes::VM_NETWORK_LOG, reference);
        Ok(ByteStream::new(self.get(route).stream().await?))
    }

    /// Refusals of a VM's network after number `after`, one JSON line each, as they happen.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn network_denials(
        &self,
        reference: &str,
        after: u64,
    ) -> Result<ByteStream, ClientError> {
        let route = fill(routes::VM_NETWORK_DENIALS, reference);
        let path = format!("{route}?after={after}");
        Ok(ByteStream::new(self.get(path).stream().await?))
    }

    /// Tells whether a VM's guest answers.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_health(&self, reference: &str) -> Result<VmHealth, ClientError> {
        self.get(fill(routes::VM_HEALTH, reference)).answer().await
    }

    /// A VM's console log: its last `tail` lines, or all; with `follow` also the lines still to come.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_logs(
        &self,
        reference: &str,
        follow: bool,
        tail: Option<u64>,
    ) -> Result<ByteStream, ClientError> {
        let mut path = format!("{}?follow={follow}", fill(routes::VM_LOGS, reference));
        if let Some(tail) = tail {
            path.push_str(&format!("&tail={tail}"));
        }
        Ok(ByteStream::new(self.get(path).stream().await?))
    }

    /// Runs a command in a running guest: the stream of exec frames.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_exec(&self, reference: &str, exec: &Exec) -> Result<Upgraded, ClientError> {
        self.post(fill(routes::VM_EXEC, reference))
            .json(exec)?
            .upgraded()
            .await
    }

    /// Sends files to the guest's `path`: a stream of transfer frames (see `banger_guest::files::upload`). A `/` at the
    /// end of `path` says that it must be a directory; with `contents` the entries of the sent directory go there.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_put_files(
        &self,
        reference: &str,
        path: &str,
        contents: bool,
    ) -> Result<Upgraded, ClientError> {
        let route = fill(routes::VM_PUT_FILES, reference);
        let path = encode(path);
        self.post(format!("{route}?path={path}&contents={contents}"))
            .upgraded()
            .await
    }

    /// [`Self::vm_put_files`] for the content of a directory, which is made with its parents if it is missing.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_put_into(&self, reference: &str, path: &str) -> Result<Upgraded, ClientError> {
        let route = fill(routes::VM_PUT_FILES, reference);
        let path = encode(path);
        self.post(format!("{route}?path={path}&contents=true&parents=true"))
            .upgraded()
            .await
    }

    /// [`Self::vm_put_files`] for the content of a directory; with `unchanged`, files there are replaced only when they
    /// are as they were when [`Self::digest_files`] looked at them.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_update_files(
        &self,
        reference: &str,
        path: &str,
        unchanged: bool,
    ) -> Result<Upgraded, ClientError> {
        let route = fill(routes::VM_PUT_FILES, reference);
        let path = encode(path);
        let query = format!("path={path}&contents=true&unchanged={unchanged}");
        self.post(format!("{route}?{query}")).upgraded().await
    }

    /// Receives the guest's `path`: a stream of transfer frames (see `banger_guest::files::download`). With `follow`,
    /// and a link at `path` itself, the link's target.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_get_files(
        &self,
        reference: &str,
        path: &str,
        follow: bool,
    ) -> Result<Upgraded, ClientError> {
        let route = fill(routes::VM_GET_FILES, reference);
        let path = encode(path);
        self.post(format!("{route}?path={path}&follow={follow}"))
            .upgraded()
            .await
    }

    /// Receives what changed below the guest's `path` since it was sent, at most `max_bytes` of content: a stream of
    /// frames (see `banger_guest::files::ask_changes`).
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_changes(
        &self,
        reference: &str,
        path: &str,
        max_bytes: u64,
    ) -> Result<Upgraded, ClientError> {
        let route = fill(routes::VM_CHANGES, reference);
        let path = encode(path);
        self.post(format!("{route}?path={path}&max_bytes={max_bytes}"))
            .upgraded()
            .await
    }

    /// The bytes of a TCP connection to `port` in the guest.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_connect(&self, reference: &str, port: u16) -> Result<Upgraded, ClientError> {
        self.post(format!(
            "{}?port={port}",
            fill(routes::VM_CONNECT, reference)
        ))
        .upgraded()
        .await
    }

    /// The bytes of a connection to the Unix socket at `path` in the guest.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn vm_connect_socket(
        &self,
        reference: &str,
        path: &str,
    ) -> Result<Upgraded, ClientError> {
        let route = fill(routes::VM_CONNECT, reference);
        self.post(format!("{route}?socket={}", encode(path)))
            .upgraded()
            .await
    }
}
