//! QEMU's arguments for a spec: checked, escaped, and no more than necessary.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::{check, files, kernel_cmdline};
use crate::{
    Accel, DiskSpec, EngineError, Memory, NET_PROCESS_SOCKET, NET_SOCKET, NetSpec, Publish, VmmSpec,
};

/// MiB of translated code that TCG keeps. Its default is up to 1024, which a busy guest fills: too much host memory.
pub(super) const TCG_CODE_MIB: u32 = 512;

/// Facts of the host that shape the command line.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    /// True when QEMU has the `qboot` firmware, which starts a PVH kernel without a BIOS's detours.
    pub has_qboot: bool,
    /// Frequency of the host's time stamp counter in kHz, if that counter is its clock.
    pub tsc_khz: Option<u32>,
}

/// QEMU's machine models that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Board {
    /// No PCI, devices on virtio-mmio announced by ACPI: the least work for a guest.
    Microvm,
    /// A PC with PCI Express.
    Q35,
}

impl Board {
    /// Chooses `microvm` for hardware virtualisation only. Translated, it boots faster than `q35`, but on a host with
    /// 20 runnable processes for 2 cores 2 of 147 boots never came up. It has no second timer by which Linux could
    /// correct its measurement of the CPU's own timer; the likely cause is a pause in that moment, which makes it ten
    /// times too fast. (Without `tsc_early_khz` two boots of three hang there.)
    pub(super) fn choose(accel: Accel) -> Self {
        match accel {
            Accel::Kvm => Self::Microvm,
            Accel::Tcg => Self::Q35,
        }
    }

    /// Ending of the names of virtio devices on this board, after `virtio-blk-` and so on.
    fn device_suffix(self) -> &'static str {
        match self {
            Self::Microvm => "device",
            Self::Q35 => "pci-non-transitional",
        }
    }
}

/// QEMU's arguments for `spec`.
pub(super) fn arguments(spec: &VmmSpec, host: &Host) -> Result<Vec<OsString>, EngineError> {
    check::check(spec)?;
    let mut args = Args(Vec::new());
    confinement(&mut args);
    identity(&mut args, spec);
    let board = Board::choose(spec.accel);
    machine(&mut args, spec, board, host.has_qboot);
    if spec.memory.state().is_some() {
        // All that a kernel is given at its start is in the memory already.
        args.option("-incoming", "defer");
    } else {
        args.option("-kernel", &spec.kernel);
        args.option("-initrd", &spec.initramfs);
        args.option("-append", kernel_cmdline::compose(spec, host.tsc_khz)?);
    }
    let bus = board.device_suffix();
    monitors(&mut args, spec);
    console(&mut args, &spec.console_log);
    channel(&mut args, bus);
    for (index, disk) in spec.disks.iter().enumerate() {
        add_disk(&mut args, index, disk, bus);
    }
    network(&mut args, &spec.net, board);
    free_memory(&mut args, bus);
    Ok(args.0)
}

fn confinement(args: &mut Args) {
    args.flag("-nodefaults");
    args.flag("-no-user-config");
    args.option(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    args.option("-display", "none");
    // A guest that reboots ends its VMM: the caller decides on a restart.
    args.flag("-no-reboot");
    // The guest waits until its starter has seen that the VMM answers and records: so no event of its life is missed.
    args.flag("-S");
}

fn identity(args: &mut Args, spec: &VmmSpec) {
    let VmmSpec { vm_name, vm_id, .. } = spec;
    args.option("-name", format!("guest={vm_name},process=banger-{vm_name}"));
    args.option("-uuid", vm_id.to_string());
    args.option("-pidfile", files::PID_FILE);
}

/// Adds the machine, its CPUs and its memory. The figures behind these choices are in [`kernel_cmdline`].
fn machine(args: &mut Args, spec: &VmmSpec, board: Board, has_qboot: bool) {
    const HOST_SIDE: &str = "dump-guest-core=off,mem-merge=off";
    let machine = match board {
        Board::Microvm => "microvm,acpi=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off",
        Board::Q35 => "q35,usb=off,vmport=off,graphics=off,hpet=off,sata=off,smbus=off,smm=off",
    };
    memory(args, spec);
    args.option(
        "-machine",
        format!("{machine},{HOST_SIDE},memory-backend={MEMORY_ID}"),
    );
    if board == Board::Q35 && has_qboot {
        args.option("-bios", "qboot.rom");
    }
    match spec.accel {
        Accel::Kvm => {
            args.option("-accel", "kvm");
            args.option("-cpu", "host");
        }
        Accel::Tcg => {
            args.option("-accel", format!("tcg,thread=multi,tb-size={TCG_CODE_MIB}"));
            // The translator runs "rep stosb" byte by byte: without the promise that it is fast, Linux clears a page 2.3
            // times and reads /dev/zero 5 times as fast. Protection keys are left out, because the translator forgets its
            // whole TLB whenever their register is written, and Linux writes it at each change of process.
            args.option("-cpu", "max,-erms,-fsrm,-pku,-pks");
        }
    }
    args.option(
        "-smp",
        format!("cpus={0},sockets=1,cores={0},threads=1", spec.vcpu),
    );
    args.option("-m", format!("size={}M", spec.memory_mib));
}

/// Name of the guest's memory, also in a state that is written of it.
pub(super) const MEMORY_ID: &str = "ram";

/// Adds the guest's memory.
fn memory(args: &mut Args, spec: &VmmSpec) {
    let size = spec.memory_mib;
    // Shared: what the guest writes is in the file. Otherwise it is the VMM's alone.
    let share = match spec.memory {
        Memory::File { .. } => "on",
        Memory::Own | Memory::Saved { .. } | Memory::Suspended { .. } => "off",
    };
    match spec.memory.file() {
        None => args.option(
            "-object",
            format!("memory-backend-ram,id={MEMORY_ID},size={size}M"),
        ),
        Some(file) => {
            let before = format!("memory-backend-file,id={MEMORY_ID},mem-path=");
            args.escaped(
                "-object",
                &before,
                file,
                &format!(",size={size}M,share={share}"),
            );
        }
    }
}

fn monitors(args: &mut Args, spec: &VmmSpec) {
    let control = files::control_chardev_id(&spec.launch_token);
    let socket = files::CONTROL_SOCKET;
    args.option(
        "-chardev",
        format!("socket,id={control},path={socket},server=on,wait=off"),
    );
    args.option("-mon", format!("chardev={control},mode=control"));
    args.option("-chardev", format!("pipe,id=events,path={}", files::EVENTS));
    args.option("-mon", "chardev=events,mode=control");
}

/// Text before and after the escaped path of the console's log: [`console_log`] searches for it.
const CONSOLE_BEFORE: &str = "file,id=console,path=";
const CONSOLE_AFTER: &str = ",append=on";

fn console(args: &mut Args, log: &Path) {
    args.escaped("-chardev", CONSOLE_BEFORE, log, CONSOLE_AFTER);
    args.option("-serial", "chardev:console");
}

/// The console's log in the arguments of a running QEMU of ours.
pub(super) fn console_log(args: &[OsString]) -> Option<std::path::PathBuf> {
    let escaped = args.iter().find_map(|arg| {
        arg.as_bytes()
            .strip_prefix(CONSOLE_BEFORE.as_bytes())?
            .strip_suffix(CONSOLE_AFTER.as_bytes())
    })?;
    let mut path = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter().copied();
    while let Some(byte) = bytes.next() {
        path.push(byte);
        if byte == b',' {
            bytes.next();
        }
    }
    Some(OsString::from_vec(path).into())
}

fn channel(args: &mut Args, bus: &str) {
    let (id, socket) = (files::CHANNEL_ID, files::CHANNEL_SOCKET);
    // Port 0 is reserved by the driver for consoles; a port costs two queues, so there are no more than needed.
    args.option(
        "-device",
        format!("virtio-serial-{bus},id=serial,max_ports=2"),
    );
    args.option(
        "-chardev",
        format!("socket,id={id},path={socket},server=on,wait=off"),
    );
    args.option(
        "-device",
        format!("virtserialport,bus=serial.0,nr=1,chardev={id},name=banger.channel"),
    );
}

/// Gives memory that the guest has freed back to the host: the guest reports free pages (`VIRTIO_BALLOON_F_REPORTING`, virtio
/// specification 1.2, 5.5.6.5) once its driver is loaded, and QEMU drops them. A guest without the driver keeps what it has
/// touched.
fn free_memory(args: &mut Args, bus: &str) {
    args.option(
        "-device",
        format!("virtio-balloon-{bus},id=balloon,free-page-reporting=on"),
    );
}

fn add_disk(args: &mut Args, index: usize, disk: &DiskSpec, bus: &str) {
    let node = format!("disk{index}");
    // A read-only image takes a shared lock, which keeps writers out; a writable one takes an exclusive lock.
    let access = if disk.read_only {
        "read-only=on"
    } else {
        "read-only=off,discard=unmap,detect-zeroes=unmap"
    };
    let below = disk.below.iter().flat_map(|below| &below.layers);
    let mut lower = None;
    for (number, layer) in below.enumerate() {
        let layer_node = format!("{node}.{number}");
        image(args, &layer_node, lower.as_deref(), "read-only=on", layer);
        lower = Some(layer_node);
    }
    image(args, &node, lower.as_deref(), access, &disk.path);
    let serial = &disk.serial;
    args.option(
        "-device",
        format!("virtio-blk-{bus},drive={node},serial={serial},write-cache=on"),
    );
}

/// Adds an image: a top over the node `lower`, which is named here and in no file, or a raw one. No format is guessed.
fn image(args: &mut Args, node: &str, lower: Option<&str>, access: &str, path: &Path) {
    let driver = match lower {
        Some(lower) => format!("driver=qcow2,backing={lower}"),
        None => "driver=raw".to_owned(),
    };
    let before = format!(
        "{driver},node-name={node},{access},file.driver=file,file.aio=threads,file.locking=auto,file.filename="
    );
    args.escaped("-blockdev", &before, path, "");
}

fn network(args: &mut Args, net: &NetSpec, board: Board) {
    let (netdev, mac, more) = match net {
        NetSpec::None => return,
        NetSpec::User {
            mac,
            egress,
            publish,
        } => (user_network(*egress, publish), mac, String::new()),
        // Relative to the VM's folder, in which QEMU runs.
        NetSpec::Datagrams { mac, mtu } => (
            format!(
                "dgram,id=net,local.type=unix,local.path={NET_SOCKET},remote.type=unix,remote.path={NET_PROCESS_SOCKET}"
            ),
            mac,
            format!(",host_mtu={mtu}"),
        ),
    };
    args.option("-netdev", netdev);
    let [a, b, c, d, e, f] = mac;
    let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    // No guest boots from the network: no option ROM on PCI.
    let rom = if board == Board::Q35 { ",romfile=" } else { "" };
    let bus = board.device_suffix();
    args.option(
        "-device",
        format!("virtio-net-{bus},netdev=net,mac={mac}{more}{rom}"),
    );
}

fn user_network(egress: bool, publish: &[Publish]) -> String {
    let restrict = if egress { "off" } else { "on" };
    let mut netdev = format!("user,id=net,ipv6=off,restrict={restrict}");
    for port in publish {
        netdev.push_str(",hostfwd=");
        netdev.push_str(&forward_rule(port));
    }
    netdev
}

/// The forwarding rule in QEMU's form, which its error messages repeat.
pub(super) fn forward_rule(port: &Publish) -> String {
    format!(
        "tcp:{}:{}-:{}",
        port.host_ip, port.host_port, port.guest_port
    )
}

struct Args(Vec<OsString>);

impl Args {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.into());
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }

    /// Adds an option list with a path in it; QEMU reads a doubled comma as one.
    fn escaped(&mut self, name: &str, before: &str, path: &Path, after: &str) {
        let mut value = before.as_bytes().to_vec();
        for byte in path.as_os_str().as_bytes() {
            value.push(*byte);
            if *byte == b',' {
                value.push(b',');
            }
        }
        value.extend_from_slice(after.as_bytes());
        self.option(name, OsString::from_vec(value));
    }
}

#[cfg(test)]
pub(super) mod tests;
