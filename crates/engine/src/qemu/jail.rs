//! The jail of a QEMU: all that its machine needs, read from its spec.

use std::path::{Path, PathBuf};

use banger_jail::{Access, Item, JailError, Layers, Network, Spec};

use crate::{Accel, DiskSpec, NetSpec, VmmSpec};

/// Libraries, firmware and the dynamic linker: nothing in them is private to anybody. What a host does not have is left
/// out.
const SYSTEM: [&str; 9] = [
    "/usr",
    "/bin",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    // Distributions choose among libraries with links to here.
    "/etc/alternatives",
    "/nix/store",
    "/gnu/store",
    "/dev/urandom",
];
/// The name server and the names of the host, for QEMU's user network.
const NAMES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// The smallest limit for the length of a file: below it the logs would end a small VM.
const FILE_MIN_BYTES: u64 = 1 << 30;
/// Bytes of a top with nothing in it, and to spare.
const TOP_BYTES: u64 = 16 << 20;
/// Descriptors: the machine's own, and the connections of a user network.
const DESCRIPTORS: u64 = 1024;
/// Descriptors of a machine without network: disks, sockets, event descriptors of its queues.
const DESCRIPTORS_ALONE: u64 = 256;

/// The VM's folder without links: the working directory, which `/proc` must name so that the VMM is found again.
fn folder(spec: &VmmSpec) -> PathBuf {
    spec.dir.canonicalize().unwrap_or_else(|_| spec.dir.clone())
}

/// The jail of `program` for `spec`, with the layers that are wanted.
pub(super) fn of(spec: &VmmSpec, program: &Path, wanted: Layers) -> Spec {
    let cwd = folder(spec);
    let mut jail = machine(program, spec.accel, network(&spec.net), cwd.clone(), wanted);
    let items = &mut jail.items;
    items.push(Item::new(cwd, Access::MakeSockets));
    match spec.memory.state() {
        // It comes as a descriptor, and a kernel is not given.
        Some(_) => {}
        None => {
            items.push(Item::new(&spec.kernel, Access::Read));
            items.push(Item::new(&spec.initramfs, Access::Read));
        }
    }
    // Also where nothing is written to the file: it is opened so all the same (QEMU before 8.2).
    let memory = spec.memory.file();
    items.extend(memory.map(|file| Item::new(file, Access::Write)));
    items.push(Item::new(&spec.console_log, Access::Write));
    for disk in &spec.disks {
        let access = match disk.read_only {
            true => Access::Read,
            false => Access::Write,
        };
        items.push(Item::new(&disk.path, access));
        let layers = disk.below.iter().flat_map(|below| &below.layers);
        items.extend(layers.map(|layer| Item::new(layer, Access::Read)));
    }
    items.dedup();
    jail.file_max_bytes = file_max_bytes(spec);
    jail.user = spec.user;
    jail
}

/// Most bytes of a file of the VMM's: its largest disk.
pub(super) fn file_max_bytes(spec: &VmmSpec) -> u64 {
    let bytes = |disk: &DiskSpec| match &disk.below {
        None => disk.path.metadata().map_or(0, |metadata| metadata.len()),
        Some(below) => with_tables(below.bytes),
    };
    spec.disks.iter().map(bytes).fold(FILE_MIN_BYTES, u64::max)
}

/// Most bytes of the file of a top for a disk of this size: one that is written all over has its tables besides, for each cluster of
/// 64 KiB 8 bytes and a count of 2.
pub(super) fn with_tables(bytes: u64) -> u64 {
    bytes.saturating_add(bytes >> 12).saturating_add(TOP_BYTES)
}

/// Tries a jail with the parts that every machine has.
pub(super) fn on_this_host(program: &Path, wanted: Layers) -> Result<Layers, JailError> {
    let cwd = PathBuf::from("/usr");
    banger_jail::trial(&machine(program, Accel::Tcg, Network::None, cwd, wanted))
}

fn machine(program: &Path, accel: Accel, network: Network, cwd: PathBuf, wanted: Layers) -> Spec {
    // A script in the program's place needs its interpreter: what is executed stays in the jail all the same.
    let system = |path| Item::optional(path, Access::Execute);
    let mut items: Vec<Item> = SYSTEM.into_iter().map(system).collect();
    items.push(Item::optional("/dev/null", Access::Device));
    // A QEMU of one's own has its firmware and libraries beside its `bin`.
    let prefix = program.parent().and_then(Path::parent);
    match prefix.filter(|prefix| prefix.parent().is_some() && !prefix.starts_with("/usr")) {
        Some(prefix) if prefix.join("bin").is_dir() => {
            items.push(Item::new(prefix, Access::Execute));
        }
        _ if program.starts_with("/usr") => {}
        _ => items.push(Item::new(program, Access::Execute)),
    }
    if accel == Accel::Kvm {
        items.push(Item::new("/dev/kvm", Access::Device));
    }
    let alone = network == Network::None;
    if !alone {
        items.extend(NAMES.map(|path| Item::optional(path, Access::Read)));
    }
    Spec {
        items,
        cwd,
        network,
        file_max_bytes: FILE_MIN_BYTES,
        descriptors_max: if alone {
            DESCRIPTORS_ALONE
        } else {
            DESCRIPTORS
        },
        user: None,
        group: None,
        namespaces: wanted.namespaces,
        landlock: wanted.landlock_abi.is_some(),
        seccomp: wanted.seccomp,
    }
}

fn network(net: &NetSpec) -> Network {
    let NetSpec::User {
        egress, publish, ..
    } = net
    else {
        // The datagram link is two Unix sockets in its own folder.
        return Network::None;
    };
    let ports = publish.iter().map(|port| port.host_port).collect();
    match egress {
        true => Network::Connect(ports),
        false => Network::Listen(ports),
    }
}
