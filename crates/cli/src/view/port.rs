//! Ports of this host that lead into a VM, and its address.

use std::net::SocketAddr;

use banger_api::vm::{NetStack, Vm, VmState};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;
use crate::output::table::Table;

/// All ports of one VM.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Ports(Vec<Port>);

/// A port of this host that leads into a VM.
#[derive(Debug, Serialize)]
struct Port {
    /// `ADDRESS:PORT` of this host.
    at: Option<String>,
    guest_port: u16,
    kind: Kind,
    /// The cause for which it is not open.
    failure: Option<String>,
}

/// Kind of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Its user asked for it.
    Published,
    /// A server in the guest listens at it.
    Server,
}

impl Ports {
    /// Those of this VM.
    pub fn of(vm: &Vm) -> Self {
        let published = vm.publish.iter().map(|port| Port {
            at: Some(SocketAddr::new(port.host_ip, port.host_port).to_string()),
            guest_port: port.guest_port,
            kind: Kind::Published,
            failure: None,
        });
        let servers = vm.servers.iter().map(|port| Port {
            at: port.at.clone(),
            guest_port: port.guest_port,
            kind: Kind::Server,
            failure: port.failure.clone(),
        });
        Self(published.chain(servers).collect())
    }
}

impl Render for Ports {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&["GUEST PORT", "KIND", "REACH AT"]);
        for port in &self.0 {
            let kind = match port.kind {
                Kind::Published => "published",
                Kind::Server => "server",
            };
            let at = match (&port.at, &port.failure) {
                (Some(at), _) => at.clone(),
                (None, Some(cause)) => format!("not open: {cause}"),
                (None, None) => String::new(),
            };
            table.row([port.guest_port.to_string(), kind.to_owned(), at]);
        }
        page.table(&table);
    }
}

/// The address of a VM's servers.
#[derive(Debug, Serialize)]
pub struct Address {
    name: String,
    address: String,
}

impl Address {
    /// The one of this VM.
    ///
    /// # Errors
    /// The cause for which it has none, and what to do.
    pub fn of(vm: &Vm) -> Result<Self, String> {
        let name = &vm.name;
        match (&vm.address, vm.stack) {
            (Some(address), NetStack::Own) => Ok(Self {
                name: name.to_string(),
                address: address.clone(),
            }),
            (_, NetStack::Slirp) => Err(format!(
                "VM \"{name}\" has no address: its network is QEMU's own. Publish a port: banger vm set {name} --publish 8080:80, or give new VMs banger's network: stack = \"own\" below [network] in config.toml"
            )),
            (None, NetStack::Own) if vm.state != VmState::Running => Err(format!(
                "VM \"{name}\" is {}: it has an address while it runs (banger vm start {name})",
                vm.state
            )),
            (None, NetStack::Own) => Err(format!(
                "VM \"{name}\" has no address: it has no network, or was started by an older banger (banger vm restart {name})"
            )),
        }
    }
}

impl Render for Address {
    fn text(&self, page: &mut Page) {
        page.line(&self.address);
    }
}
