//! Sizes of a VM that names none: the configuration, then the host, then fixed numbers; and the limits of sizes.

use banger_api::vm::{CreateVm, Egress, NetMode, NetStack};
use banger_api::{ApiError, ByteSize, ErrorCode};

use crate::environment::{HostSize, VmDefaults};

/// Smallest and largest disk.
const DISK_MIN: ByteSize = ByteSize::mib(64);
const DISK_MAX: ByteSize = ByteSize::gib(8 * 1024);
/// Disk of a VM that names none.
const DISK_DEFAULT: ByteSize = ByteSize::gib(8);
/// Smallest memory with which a distribution's kernel boots with our initramfs.
const MEMORY_MIN_MIB: u64 = 128;
/// Largest memory that may be asked for.
const MEMORY_MAX_MIB: u64 = 4 * 1024 * 1024;
/// Largest number of virtual CPUs that the engines take.
const VCPU_MAX: u32 = 255;

/// The sizes of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) vcpu: u32,
    pub(super) memory_mib: u32,
    pub(super) disk: ByteSize,
    pub(super) overlay: ByteSize,
    pub(super) net: NetMode,
    pub(super) stack: NetStack,
    pub(super) egress: Egress,
}

fn invalid(message: String, hint: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message).hint(hint)
}

/// The sizes that a request asks for, filled up from the defaults and the host. `seed` is the size of the image's work seed,
/// `links` tells whether the engine links guests to network processes.
pub(super) fn sizes(
    request: &CreateVm,
    defaults: &VmDefaults,
    host: HostSize,
    links: bool,
    seed: Option<u64>,
) -> Result<Sizes, ApiError> {
    let quarter = (host.cpus / 4).clamp(1, 4);
    let vcpu = check_vcpu(request.vcpu.or(defaults.vcpu).unwrap_or(if host.cpus == 0 {
        2
    } else {
        quarter
    }))?;
    let eighth = (host.memory_mib / 8).min(8 * 1024);
    let derived = if eighth == 0 { 2048 } else { eighth.max(512) };
    let memory = request
        .memory
        .map(ByteSize::as_mib)
        .or(defaults.memory_mib.map(u64::from));
    let memory_mib = check_memory(memory.unwrap_or(derived))?;
    let overlay = request.overlay_size.or(defaults.overlay);
    let overlay = check_disk("overlay", overlay.unwrap_or(DISK_DEFAULT))?;
    let asked = request.disk_size.or(defaults.disk);
    let disk = match (asked, seed.map(ByteSize)) {
        (Some(asked), Some(seed)) if request.disk_size.is_some() && asked < seed => {
            return Err(invalid(
                format!("work disk of {asked} is smaller than the image's work seed of {seed}"),
                "ask for at least the seed's size",
            ));
        }
        (asked, seed) => asked
            .unwrap_or(DISK_DEFAULT)
            .max(seed.unwrap_or(ByteSize(0))),
    };
    let wanted = request.stack.or(defaults.stack).unwrap_or_default();
    let stack = match wanted {
        NetStack::Own if links => NetStack::Own,
        _ => NetStack::Slirp,
    };
    let asked = request.egress.or(defaults.egress);
    Ok(Sizes {
        vcpu,
        memory_mib,
        disk: check_disk("work disk", disk)?,
        overlay,
        net: request.net.or(defaults.net).unwrap_or_default(),
        stack,
        egress: check_egress(stack, asked)?,
    })
}

/// The way to a network of banger's own.
pub(super) const OWN_STACK: &str = "stack = \"own\" below [network] in config.toml gives new VMs a network that can, from QEMU 7.2 on";

/// The egress of a VM; without a wish, as much as its stack can hold to without reaching the host.
pub(super) fn check_egress(stack: NetStack, asked: Option<Egress>) -> Result<Egress, ApiError> {
    match (stack, asked) {
        (NetStack::Own, None) => Ok(Egress::Public),
        (NetStack::Slirp, None) => Ok(Egress::All),
        (NetStack::Slirp, Some(egress @ (Egress::Public | Egress::List))) => Err(invalid(
            format!("QEMU's own network cannot hold a guest to egress \"{egress}\""),
            OWN_STACK,
        )),
        (_, Some(egress)) => Ok(egress),
    }
}

pub(super) fn check_vcpu(vcpu: u32) -> Result<u32, ApiError> {
    match vcpu {
        1..=VCPU_MAX => Ok(vcpu),
        _ => Err(invalid(
            format!("{vcpu} virtual CPUs are not possible"),
            "use 1 to 255",
        )),
    }
}

pub(super) fn check_memory(mib: u64) -> Result<u32, ApiError> {
    match u32::try_from(mib) {
        Ok(small) if (MEMORY_MIN_MIB..=MEMORY_MAX_MIB).contains(&mib) => Ok(small),
        _ => Err(invalid(
            format!("memory of {} is not possible", ByteSize::mib(mib)),
            "use 128M to 4T; a guest with systemd wants 512M or more",
        )),
    }
}

pub(super) fn check_disk(what: &str, size: ByteSize) -> Result<ByteSize, ApiError> {
    if size < DISK_MIN || size > DISK_MAX {
        return Err(invalid(
            format!("{what} of {size} is not possible"),
            "use 64M to 8T: disks take room on the host only as the guest fills them",
        ));
    }
    // The size of ext4's blocks: an incomplete block at the end would be unusable.
    Ok(ByteSize(size.0 / 4096 * 4096))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostSize = HostSize {
        cpus: 16,
        memory_mib: 32 * 1024,
    };

    #[test]
    fn sizes_come_from_the_request_then_the_configuration_then_the_host() {
        let config = VmDefaults {
            vcpu: Some(3),
            ..VmDefaults::default()
        };
        let none = CreateVm::default();
        let sizes_of = |request: &CreateVm, config: &VmDefaults| {
            sizes(request, config, HOST, true, None).unwrap()
        };
        assert_eq!(sizes_of(&none, &VmDefaults::default()).vcpu, 4);
        assert_eq!(sizes_of(&none, &config).vcpu, 3);
        assert_eq!(
            sizes_of(
                &CreateVm {
                    vcpu: Some(2),
                    ..none.clone()
                },
                &config
            )
            .vcpu,
            2
        );
        assert_eq!(sizes_of(&none, &config).memory_mib, 4096);
        assert_eq!(sizes_of(&none, &config).disk, ByteSize::gib(8));
    }

    #[test]
    fn a_disk_smaller_than_the_seed_is_refused_with_both_sizes() {
        let request = CreateVm {
            disk_size: Some(ByteSize::gib(1)),
            ..CreateVm::default()
        };
        let error = sizes(&request, &VmDefaults::default(), HOST, true, Some(2 << 30)).unwrap_err();
        assert!(
            error.message.contains("1 GiB") && error.message.contains("2 GiB"),
            "{error}"
        );
    }

    #[test]
    fn an_egress_that_the_stack_cannot_hold_to_is_refused_and_an_old_engine_keeps_its_own() {
        let own = CreateVm {
            stack: Some(NetStack::Own),
            ..CreateVm::default()
        };
        let of =
            |request: &CreateVm, links| sizes(request, &VmDefaults::default(), HOST, links, None);
        let seen = |sizes: Result<Sizes, _>| sizes.map(|sizes| (sizes.stack, sizes.egress)).ok();
        assert_eq!(seen(of(&own, true)), Some((NetStack::Own, Egress::Public)));
        assert_eq!(seen(of(&own, false)), Some((NetStack::Slirp, Egress::All)));
        for egress in [Egress::Public, Egress::List] {
            let wanted = CreateVm {
                egress: Some(egress),
                ..own.clone()
            };
            assert_eq!(seen(of(&wanted, true)), Some((NetStack::Own, egress)));
            let error = of(&wanted, false).unwrap_err();
            assert!(error.message.contains(&egress.to_string()), "{error}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for request in [
            CreateVm {
                vcpu: Some(0),
                ..CreateVm::default()
            },
            CreateVm {
                vcpu: Some(256),
                ..CreateVm::default()
            },
            CreateVm {
                memory: Some(ByteSize::mib(1)),
                ..CreateVm::default()
            },
            CreateVm {
                disk_size: Some(ByteSize(1)),
                ..CreateVm::default()
            },
            CreateVm {
                overlay_size: Some(ByteSize::gib(1 << 20)),
                ..CreateVm::default()
            },
        ] {
            let error = sizes(&request, &VmDefaults::default(), HOST, true, None).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{request:?}");
        }
    }
}
