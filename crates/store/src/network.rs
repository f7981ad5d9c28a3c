//! The network of a VM as its record keeps it, beside mode, egress and published ports.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use banger_api::NetworkName;
use banger_api::vm::NetStack;
use banger_egress::{Grant, Layer, Origin, Policy, Rule, SetName};
use banger_net_control::NetIdentity;
use banger_secret::{SecretName, SecretUse};
use serde::{Deserialize, Serialize};

use crate::VmRecord;

/// Carrier of a VM's packets, and its rules. [`Default`] is what VMs of older builds have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VmNetwork {
    /// Carrier of its packets.
    pub stack: NetStack,
    /// Number of the present rules: each change has a higher one.
    pub generation: u64,
    /// Destinations that its user allows besides its egress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Grant>,
    /// Destinations that its user denies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Grant>,
    /// Rules of the sets, as they were read when a rule named them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<SetName, Vec<Rule>>,
    /// Limits that others set, a repository among them: only what all allow is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub narrowed: Vec<Layer>,
    /// Secrets that its guest uses without having them: their names and hosts, and no value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretUse>,
    /// The network whose VMs it may see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined: Option<NetworkName>,
    /// Address of the host's loopback network that is this VM's alone, from its first start on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// Port of the guest's at which its agent takes connections for all others, since its last start. `None`: its agent is of an older
    /// build, or it has never been started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub door: Option<u16>,
    /// Its network process, while it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<NetIdentity>,
}

impl VmNetwork {
    /// Tells whether its guest uses a secret.
    #[must_use]
    pub fn uses_secret(&self, name: &SecretName) -> bool {
        self.secrets.iter().any(|one| one.name == *name)
    }
}

impl VmRecord {
    /// All that decides what its guest may reach.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let network = &self.network;
        let user = Layer {
            origin: Origin::User,
            egress: self.egress,
            allow: network.allow.clone(),
            deny: network.deny.clone(),
            sets: network.sets.clone(),
        };
        let policy = Policy::new(network.generation, user);
        network
            .narrowed
            .iter()
            .cloned()
            .fold(policy, Policy::narrowed)
    }

    /// Tells whether a process of its own carries its packets while it runs.
    #[must_use]
    pub fn has_net_process(&self) -> bool {
        self.net == banger_api::vm::NetMode::User && self.network.stack == NetStack::Own
    }
}
