//! One task for each VM that runs: it follows what listens in the guest.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use banger_api::VmId;
use banger_api::vm::VmState;
use banger_control::Control;
use banger_engine::VmmIdentity;
use banger_guest::wire::handshake::Greeting;
use banger_guest::{ClientError, Listener};
use banger_ops::NetPlan;
use banger_store::vm;

use super::OpenPorts;
use super::listen::Place;
use crate::channels::Channels;

/// A guest that has just come up is left to its user's first command.
const BEGIN_AFTER: Duration = Duration::from_millis(500);
/// Between two changes: a guest whose servers come and go all the time costs no more.
const PAUSE: Duration = Duration::from_millis(200);
/// Before the guest, or a port that somebody else had, is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Time for the agent's answer to a greeting.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// File that says from which port on everybody may listen (ip-sysctl).
const FIRST_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Keeps a VM's servers open at its address.
pub(crate) struct Keeper {
    pub(crate) control: Control,
    pub(crate) channels: Channels,
    pub(crate) ports: OpenPorts,
    pub(crate) vm: VmId,
    pub(crate) vmm: VmmIdentity,
}

impl Keeper {
    /// Works until it is dropped. What is open is forgotten then; the sockets go with the network process.
    pub(crate) async fn keep(self) -> Infallible {
        let _forgotten = Forgotten(&self);
        tokio::time::sleep(BEGIN_AFTER).await;
        loop {
            if let Err(error) = self.follow().await {
                tracing::debug!(vm = %self.vm, %error, "cannot follow what listens in a guest");
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn follow(&self) -> Result<(), ClientError> {
        let socket = &self.vmm.channel_socket;
        let client = self
            .channels
            .client_within(self.vm, socket, Greeting::Running, ANSWER_WITHIN)
            .await?;
        let mut watch = client.watch_ports().await?;
        let again = self.ports.calls(self.vm);
        let mut listeners = watch.next().await?;
        loop {
            let mut next = pin!(watch.next());
            listeners = loop {
                let all_open = self.open(listeners.clone()).await;
                tokio::time::sleep(PAUSE).await;
                tokio::select! {
                    next = &mut next => break next?,
                    () = again.notified() => {}
                    () = tokio::time::sleep(TRY_AGAIN), if !all_open => {}
                }
            };
        }
    }

    /// Opens what is not open; false when something could not be.
    async fn open(&self, listeners: Vec<Listener>) -> bool {
        let (control, ports, id) = (self.control.clone(), self.ports.clone(), self.vm);
        let opened = tokio::task::spawn_blocking(move || {
            let record = match control.read(|db| vm::by_id(db, id)) {
                Ok(Some(record)) if record.state == VmState::Running => record,
                _ => return false,
            };
            let network = &record.network;
            let Some((net, place)) = network.process.as_ref().zip(place(&record)) else {
                return false;
            };
            match place.open(net, &listeners) {
                Ok(open) => {
                    let all = open.iter().all(|port| port.at.is_some());
                    ports.are(id, open);
                    all
                }
                Err(error) => {
                    tracing::warn!(vm = %record.name, %error, "servers of a guest are not opened on this host");
                    false
                }
            }
        });
        opened.await.unwrap_or(false)
    }
}

fn place(record: &banger_store::VmRecord) -> Option<Place> {
    let plan = NetPlan::of(record)?;
    let uid = rustix::process::geteuid();
    let first = match uid.is_root() {
        true => 0,
        false => std::fs::read_to_string(FIRST_PORT)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(1024),
    };
    Some(Place {
        address: record.network.address?,
        door: plan.door?,
        guest: plan.guest,
        uid: uid.as_raw(),
        first,
    })
}

/// Forgets what is open when a keeper is dropped, however that comes about.
struct Forgotten<'a>(&'a Keeper);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.0.ports.forget(self.0.vm);
    }
}
