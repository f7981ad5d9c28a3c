//! The network: loopback in any case, then each interface that the host names, found by its MAC address.

use std::io;
use std::time::{Duration, Instant};

use banger_guest::{Failure, Interface, MacAddr, Net};

use super::netlink::Netlink;
use crate::failure::failure;
use crate::sys;

/// Interfaces appear some time after their driver was loaded.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
const CLASS: &str = "/sys/class/net";

/// Brings loopback up.
///
/// # Errors
/// Names the part and the check.
pub fn apply_loopback() -> Result<(), Failure> {
    sys::bring_up(c"lo").map_err(|error| failure("interface lo", "bring up", error))
}

/// Sets up all interfaces.
///
/// # Errors
/// Names the interface and the check.
pub fn apply(net: &Net) -> Result<(), Failure> {
    let mut netlink = Netlink::open().map_err(|error| failure("network", "open netlink", error))?;
    net.interfaces
        .iter()
        .try_for_each(|interface| set_up(&mut netlink, interface))
}

fn set_up(netlink: &mut Netlink, wanted: &Interface) -> Result<(), Failure> {
    let part = format!("interface {}", wanted.mac);
    let fail = |check: &str, error: io::Error| failure(&part, check, error);
    let name = find(wanted.mac).map_err(|error| fail("find by MAC address", error))?;
    let index = index(&name).map_err(|error| fail("find", error))?;
    netlink
        .bring_up(index, wanted.mtu)
        .map_err(|error| fail("bring up", error))?;
    let is_wanted = |ip, prefix| {
        wanted
            .addresses
            .iter()
            .any(|address| (address.ip, address.prefix) == (ip, prefix))
    };
    for known in netlink
        .addresses(index)
        .map_err(|error| fail("list addresses", error))?
    {
        if !known.link_local && !is_wanted(known.ip, known.prefix) {
            netlink
                .remove_address(index, known.ip, known.prefix)
                .map_err(|error| fail(&format!("remove address {}", known.ip), error))?;
        }
    }
    for address in &wanted.addresses {
        netlink
            .add_address(index, address.ip, address.prefix)
            .map_err(|error| {
                fail(
                    &format!("add address {}/{}", address.ip, address.prefix),
                    error,
                )
            })?;
    }
    if let Some(gateway) = wanted.gateway {
        netlink
            .set_default_route(index, gateway)
            .map_err(|error| fail(&format!("set default route to {gateway}"), error))?;
    }
    let known = netlink
        .addresses(index)
        .map_err(|error| fail("list addresses", error))?;
    match wanted
        .addresses
        .iter()
        .find(|address| !known.iter().any(|known| known.ip == address.ip))
    {
        Some(missing) => Err(failure(
            &part,
            "has its address",
            format_args!("{} is not there", missing.ip),
        )),
        None => Ok(()),
    }
}

/// Hardware address of the interface that has this one, as the kernel writes it.
///
/// # Errors
/// None has it.
pub(super) fn address_of(mac: MacAddr) -> io::Result<String> {
    let name = find(mac)?;
    let address = std::fs::read_to_string(format!("{CLASS}/{name}/address"))?;
    Ok(address.trim_end().to_owned())
}

fn find(mac: MacAddr) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for entry in std::fs::read_dir(CLASS)?.flatten() {
            let address = std::fs::read_to_string(entry.path().join("address")).unwrap_or_default();
            if address.trim_end().parse() == Ok(mac) {
                return entry
                    .file_name()
                    .into_string()
                    .map_err(|name| io::Error::other(format!("{name:?}")));
            }
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no interface has it",
            ));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn index(name: &str) -> io::Result<u32> {
    std::fs::read_to_string(format!("{CLASS}/{name}/ifindex"))?
        .trim()
        .parse()
        .map_err(io::Error::other)
}
