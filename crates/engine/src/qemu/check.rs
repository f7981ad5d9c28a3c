//! Check of a spec for QEMU: an unusable field is refused by its name.

use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::{DiskSpec, EngineError, NetSpec, Publish, SERIAL_MAX_BYTES, VmmSpec};

/// Most disks of a VM: a `microvm` machine has eight virtio-mmio slots in all (QEMU `docs/system/i386/microvm.rst`).
const DISKS_MAX: usize = 5;
/// Most layers below a disk: each costs a look for what is not in those above it, and descriptors.
pub(super) const LAYERS_MAX: usize = 16;
/// Most published ports of a VM: the command line must stay far below the limit for a process.
const PUBLISH_MAX: usize = 256;
/// Largest packet: at least IPv6's smallest link (RFC 8200, 5), at most what a frame of 64 KiB holds with its header.
const MTU: RangeInclusive<u32> = 1280..=65_521;
/// Memory in MiB: below it no current kernel starts, above it a typing error is likelier than such a machine.
const MEMORY_MIB: RangeInclusive<u32> = 32..=4 * 1024 * 1024;
/// Virtual CPUs that QEMU's machines accept without an interrupt remapper.
const VCPU: RangeInclusive<u32> = 1..=255;

pub(super) fn check(spec: &VmmSpec) -> Result<(), EngineError> {
    check_names(spec)?;
    check_range("vcpu", spec.vcpu, &VCPU)?;
    check_range("memory_mib", spec.memory_mib, &MEMORY_MIB)?;
    check_path("dir", &spec.dir)?;
    check_path("kernel", &spec.kernel)?;
    check_path("initramfs", &spec.initramfs)?;
    check_path("console_log", &spec.console_log)?;
    if let Some(file) = spec.memory.file() {
        check_path("memory", file)?;
    }
    if let Some(state) = spec.memory.state() {
        check_path("state", state)?;
    }
    check_disks(&spec.disks)?;
    check_net(&spec.net)
}

fn check_names(spec: &VmmSpec) -> Result<(), EngineError> {
    let name = &spec.vm_name;
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=63).contains(&name.len()) || !name.bytes().all(in_name) {
        return Err(invalid("vm_name", name, "must be 1 to 63 of [a-z0-9-]"));
    }
    Ok(())
}

fn check_range(
    field: &'static str,
    value: u32,
    allowed: &RangeInclusive<u32>,
) -> Result<(), EngineError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(invalid(
        field,
        value,
        format!("must be {} to {}", allowed.start(), allowed.end()),
    ))
}

fn check_disks(disks: &[DiskSpec]) -> Result<(), EngineError> {
    if disks.len() > DISKS_MAX {
        return Err(invalid(
            "disks",
            disks.len(),
            format!("are more than {DISKS_MAX}"),
        ));
    }
    for (index, disk) in disks.iter().enumerate() {
        check_path("disk", &disk.path)?;
        check_below(disk)?;
        let serial = &disk.serial;
        let in_serial = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=SERIAL_MAX_BYTES).contains(&serial.len()) || !serial.bytes().all(in_serial) {
            let reason = format!("must be 1 to {SERIAL_MAX_BYTES} of [A-Za-z0-9_-]");
            return Err(invalid("disk serial", serial, reason));
        }
        if disks[..index].iter().any(|other| other.serial == *serial) {
            return Err(invalid("disk serial", serial, "is given to two disks"));
        }
    }
    Ok(())
}

fn check_below(disk: &DiskSpec) -> Result<(), EngineError> {
    let Some(below) = &disk.below else {
        return Ok(());
    };
    let layers = below.layers.len();
    if !(1..=LAYERS_MAX).contains(&layers) {
        let reason = format!("must be 1 to {LAYERS_MAX}");
        return Err(invalid("layers", layers, reason));
    }
    below
        .layers
        .iter()
        .try_for_each(|layer| check_path("layer", layer))
}

fn check_net(net: &NetSpec) -> Result<(), EngineError> {
    let (mac, publish) = match net {
        NetSpec::None => return Ok(()),
        NetSpec::User { mac, publish, .. } => (mac, publish.as_slice()),
        NetSpec::Datagrams { mac, mtu } => {
            check_range("mtu", u32::from(*mtu), &MTU)?;
            (mac, [].as_slice())
        }
    };
    if mac[0] & 1 == 1 || *mac == [0; 6] {
        return Err(invalid(
            "mac",
            format!("{mac:02x?}"),
            "is not the address of one device",
        ));
    }
    if publish.len() > PUBLISH_MAX {
        return Err(invalid(
            "publish",
            publish.len(),
            format!("are more than {PUBLISH_MAX}"),
        ));
    }
    for (index, port) in publish.iter().enumerate() {
        let shown = || format!("{}:{}:{}", port.host_ip, port.host_port, port.guest_port);
        if port.host_port == 0 || port.guest_port == 0 {
            return Err(invalid(
                "publish",
                shown(),
                "has port 0; allowed are 1 to 65535",
            ));
        }
        if port.host_ip.is_ipv6() {
            let reason = "has an IPv6 address, which QEMU cannot forward";
            return Err(invalid("publish", shown(), reason));
        }
        let same =
            |other: &Publish| (other.host_ip, other.host_port) == (port.host_ip, port.host_port);
        if publish[..index].iter().any(same) {
            return Err(invalid("publish", shown(), "uses a host port twice"));
        }
    }
    Ok(())
}

fn check_path(field: &'static str, path: &Path) -> Result<(), EngineError> {
    let reason = if !path.is_absolute() {
        "must be an absolute path"
    } else if path.as_os_str().as_bytes().contains(&0) {
        "has a NUL byte"
    } else {
        return Ok(());
    };
    Err(invalid(field, path.display(), reason))
}

pub(super) fn invalid(
    field: &'static str,
    value: impl ToString,
    reason: impl Into<String>,
) -> EngineError {
    EngineError::Invalid {
        field,
        value: value.to_string(),
        reason: reason.into(),
    }
}
