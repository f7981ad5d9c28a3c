//! Ports of VMs: those that are published, those that are open by themselves, and what listens in a guest.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A TCP port of the guest, reachable on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Publish {
    /// Address on the host; loopback unless the user says otherwise.
    #[schema(value_type = String)]
    pub host_ip: IpAddr,
    /// Port on the host.
    pub host_port: u16,
    /// Port in the guest.
    pub guest_port: u16,
}

/// Change the published ports of a VM. It holds at once where its network is banger's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangePorts {
    /// Ports to publish besides.
    pub add: Vec<Publish>,
    /// Ports to publish no more, as they were published.
    pub remove: Vec<Publish>,
}

/// A server of the guest's that is reached at the VM's own address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenPort {
    /// Port in the guest.
    pub guest_port: u16,
    /// `ADDRESS:PORT` on this host; none when it could not be opened.
    pub at: Option<String>,
    /// The cause for which it is not open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl FromStr for Publish {
    type Err = String;

    /// `HOSTPORT:GUESTPORT` or `ADDRESS:HOSTPORT:GUESTPORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("publish \"{text}\" is not valid: write HOSTPORT:GUESTPORT, ports 1 to 65535")
        };
        let (rest, guest) = text.rsplit_once(':').ok_or_else(bad)?;
        let (ip, host) = match rest.rsplit_once(':') {
            Some((ip, host)) => {
                let ip = ip.trim_start_matches('[').trim_end_matches(']');
                (ip.parse().map_err(|_e| bad())?, host)
            }
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), rest),
        };
        let port = |text: &str| {
            text.parse()
                .ok()
                .filter(|port: &u16| *port != 0)
                .ok_or_else(bad)
        };
        Ok(Self {
            host_ip: ip,
            host_port: port(host)?,
            guest_port: port(guest)?,
        })
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = SocketAddr::new(self.host_ip, self.host_port);
        write!(f, "{at}:{}", self.guest_port)
    }
}

/// A socket that listens in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Port {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Address in the guest.
    pub address: String,
    /// Port in the guest.
    pub port: u16,
    /// Process id in the guest.
    pub pid: Option<u32>,
    /// Name of the process.
    pub process: Option<String>,
    /// Address at which the host reaches it, if it can.
    pub reach: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_takes_two_ports_and_an_optional_address() {
        let publish: Publish = "8080:80".parse().unwrap();
        assert_eq!(publish.to_string(), "127.0.0.1:8080:80");
        assert_eq!(
            "[::1]:8080:80".parse::<Publish>().unwrap().host_ip,
            "::1".parse::<IpAddr>().unwrap()
        );
        for bad in ["", "80", "0:80", "80:0", "70000:1", "a:b", "x:1:2"] {
            assert!(bad.parse::<Publish>().is_err(), "{bad}");
        }
    }
}
