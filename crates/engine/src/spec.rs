//! Specification of a VMM: paths, sizes and devices, all chosen by the caller.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Accel, LaunchToken};

/// Longest serial number of a virtio disk, bytes (`VIRTIO_BLK_ID_BYTES`, virtio specification 1.2, 5.2.6).
pub const SERIAL_MAX_BYTES: usize = 20;

/// One launch of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmmSpec {
    /// Id of the VM; the guest sees it as the machine's UUID.
    pub vm_id: Uuid,
    /// Name for people in process lists: `[a-z0-9-]`, at most 63 bytes.
    pub vm_name: String,
    /// Token of this launch alone, visible on the command line.
    pub launch_token: LaunchToken,
    /// An existing folder (0700) for this VM's sockets, pid file and the VMM's own log. At most one VMM runs in it.
    pub dir: PathBuf,
    /// An ELF `vmlinux` (or a bzImage, which boots more slowly).
    pub kernel: PathBuf,
    /// A cpio archive, compressed or not.
    pub initramfs: PathBuf,
    /// Words for the kernel's command line beyond the engine's own.
    pub cmdline_extra: Vec<String>,
    /// Virtual CPUs, 1 to 255.
    pub vcpu: u32,
    /// The guest's memory, MiB.
    pub memory_mib: u32,
    /// Place of the guest's memory.
    #[serde(default, skip_serializing_if = "Memory::is_own")]
    pub memory: Memory,
    /// Disks in the order in which the guest sees them; it should find them by serial number.
    pub disks: Vec<DiskSpec>,
    /// Network of the guest.
    pub net: NetSpec,
    /// File to which the guest's serial console is appended.
    pub console_log: PathBuf,
    /// Accelerator; see [`Probe::accel`](crate::Probe::accel).
    pub accel: Accel,
    /// User and group of its own for the VMM, when the daemon is root; no other VMM has it meanwhile. What the VMM
    /// writes becomes this user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
}

/// Place of a guest's memory, and what is in it at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// The VMM's own, empty: the guest boots.
    #[default]
    Own,
    /// A file, empty: the guest boots, and [`Engine::save`](crate::Engine::save) leaves its memory there.
    File {
        /// The file, which is made.
        file: PathBuf,
    },
    /// The memory of a saved guest: it goes on where it was saved, with the disks and the network of this spec. These must be as
    /// many, of the same kinds and in the same order.
    Saved {
        /// Its memory, in a file of this VMM's own. What the guest writes is never in it, and it may be removed when the VMM runs.
        file: PathBuf,
        /// State of its devices and processors, as [`Engine::save`](crate::Engine::save) wrote it.
        state: PathBuf,
    },
    /// The memory of a suspended guest, which goes on where it stood, with its own disks.
    Suspended {
        /// Its memory and the state of its devices and processors, as [`Engine::suspend`](crate::Engine::suspend) wrote them. The
        /// file is removed when all is loaded and before the guest runs: while it is there, the guest has not gone on.
        state: PathBuf,
    },
}

impl Memory {
    /// Tells whether the memory is the VMM's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }

    /// The file with it.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Own | Self::Suspended { .. } => None,
            Self::File { file } | Self::Saved { file, .. } => Some(file),
        }
    }

    /// State of the saved or suspended guest that goes on.
    #[must_use]
    pub fn state(&self) -> Option<&Path> {
        match self {
            Self::Own | Self::File { .. } => None,
            Self::Saved { state, .. } | Self::Suspended { state } => Some(state),
        }
    }
}

/// A disk image: raw, or a top over layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// The image file.
    pub path: PathBuf,
    /// The file below it; then it is a top, which has what was written since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Below>,
    /// Serial number: at most [`SERIAL_MAX_BYTES`] of `[A-Za-z0-9_-]`; the guest reads it in `/sys/block/*/serial`.
    pub serial: String,
    /// Read-only images may be shared by any number of VMMs; a writable one belongs to one VMM, which locks it.
    pub read_only: bool,
}

/// The layers below a top: frozen files, which any number of VMMs read and none writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Below {
    /// The lowest one, raw, then the tops that were frozen over it, in this order. At least one.
    pub layers: Vec<PathBuf>,
    /// Largest size of the disk, bytes: a limit for the top's file.
    pub bytes: u64,
}

/// A top to which a disk of a machine that runs is switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTop {
    /// The disk's serial number.
    pub serial: String,
    /// The top's file, new and of the disk's size.
    pub file: PathBuf,
    /// Name of this switch, the same for all of its disks and for no other: a letter, then at most 15 of `[a-z0-9]`.
    pub switch: String,
}

/// The guest's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetSpec {
    /// No network device.
    None,
    /// The VMM's own user-mode network: no privilege, no host address. Addresses in it are those of QEMU's manual.
    User {
        /// The guest's hardware address; must be unicast.
        mac: [u8; 6],
        /// True when the guest reaches addresses beyond the published ports.
        egress: bool,
        /// Host ports that lead to guest ports.
        publish: Vec<Publish>,
    },
    /// A link to a process beside the VMM, which is the guest's whole network: each frame is one datagram. The VMM itself has no
    /// network then. Its sockets are [`NET_SOCKET`] of the VMM and [`NET_PROCESS_SOCKET`] of the process, in the VM's folder; either
    /// side may start first, end, or be replaced. Needs [`Probe::has_datagrams`](crate::Probe::has_datagrams).
    Datagrams {
        /// The guest's hardware address; must be unicast.
        mac: [u8; 6],
        /// Largest IP packet, bytes.
        mtu: u16,
    },
}

/// Name of the VMM's datagram socket in the VM's folder.
pub const NET_SOCKET: &str = "net.qemu";
/// Name of the network process's datagram socket in the VM's folder.
pub const NET_PROCESS_SOCKET: &str = "net.sock";

/// A TCP port of the host that leads into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Host address that listens.
    pub host_ip: IpAddr,
    /// Host port; not 0.
    pub host_port: u16,
    /// Guest port; not 0.
    pub guest_port: u16,
}
