//! Configuration that makes a booted kernel this VM: disks, identity, files, network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Door, GuestPath, IdentityRow, Net, Relay};

/// Complete configuration of a guest.
///
/// Sent once to a fresh guest, where it assembles the root, whether it has just booted or was held when it was saved; sent
/// again to one that has a root, where `root`, `init` and `mounts` are skipped (they hold already) and the rest is applied
/// anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configure {
    /// Host name of the kernel. The files that repeat it (`/etc/hostname`, …) are among `files`.
    pub hostname: String,
    /// 32 hexadecimal digits for `/etc/machine-id` (machine-id(5)).
    pub machine_id: String,
    /// UUID of the machine, as firmware tells it. A guest that wakes knows that of the machine in which it was saved.
    #[serde(default)]
    pub machine_uuid: String,
    /// Name of this waking or boot, own to it, in `/run/banger/generation`: programs that keep what must not be repeated (keys,
    /// random numbers, ids) look there whether they run in another machine than before.
    #[serde(default)]
    pub generation: String,
    /// Nanoseconds since 1970 UTC.
    pub clock_unix_ns: u64,
    /// Fresh random bytes of the host, credited to the kernel's pool: 32 to 512.
    pub entropy: Content,
    /// The disks.
    pub root: RootPlan,
    /// PID 1 once the root is assembled.
    #[serde(default)]
    pub init: InitMode,
    /// Place of `/tmp`.
    #[serde(default)]
    pub tmp: TmpMode,
    /// Applied in order, in the new root, before its init starts.
    #[serde(default)]
    pub files: Vec<GuestFile>,
    /// Authorities that the guest trusts beside its image's own; `None` takes away what an earlier start put there.
    #[serde(default)]
    pub authorities: Option<Authorities>,
    /// Mounted in order, after those that every guest gets.
    #[serde(default)]
    pub mounts: Vec<GuestMount>,
    /// The network; `None` changes nothing but loopback.
    #[serde(default)]
    pub net: Option<Net>,
    /// Ports that the host has published.
    #[serde(default)]
    pub relays: Vec<Relay>,
    /// The way to all other servers. Agents of version 8 and before do not know it.
    #[serde(default)]
    pub door: Option<Door>,
    /// The line that a package of a kernel prints when it is installed in the guest, of the kernel that boots; `None` prints
    /// nothing. Agents of version 10 and before do not know it.
    #[serde(default)]
    pub kernel_line: Option<String>,
    /// The kernel that the guest's root must have as its own for the guest to go on; `None` asks for none. Agents of version 10
    /// and before do not know it.
    #[serde(default)]
    pub own_kernel: Option<OwnKernel>,
    /// Default environment of commands; `PATH`, `HOME`, `USER`, `LOGNAME` and `SHELL` have defaults without it.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Default working directory of commands; default: the user's home.
    #[serde(default)]
    pub cwd: Option<GuestPath>,
    /// Default user of commands, as in [`super::ExecRequest::user`]; default: root.
    #[serde(default)]
    pub user: Option<String>,
    /// The image's entry point: program and arguments that always run, before the command.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// The image's own command, or the arguments of its entry point.
    #[serde(default)]
    pub cmd: Vec<String>,
}

/// The kernel that a guest has booted from its own root. A guest whose root has another one by now does not go on, and fails with
/// [`super::FailureKind::OtherKernel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnKernel {
    /// SHA-256 of its image's file, packed as it is there, in hexadecimal digits.
    pub sha256: String,
}

/// The kernel in a guest's root that a machine would boot: answer to [`super::Request::InstalledKernel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledKernel {
    /// Its release: the name of its directory in `/lib/modules`.
    pub release: String,
    /// Path of its image.
    pub image: GuestPath,
    /// Path of its configuration.
    #[serde(default)]
    pub config: Option<GuestPath>,
    /// Path of its modules.
    pub modules: GuestPath,
}

/// Certificates of authorities, in PEM, one after another. At most [`crate::limits::MAX_AUTHORITIES`] in each list, and both texts
/// together at most [`crate::limits::MAX_AUTHORITIES_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Authorities {
    /// All that the host trusts: they are added to the guest's bundles, where those lack them.
    pub trusted: String,
    /// Those of them that the host's administrator has added: the guest's own tools are told of them too, so that they stay when
    /// these write the bundle anew.
    pub added: String,
}

/// The virtio disks, by serial number (`/sys/block/*/serial`, at most 20 bytes), all ext4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootPlan {
    /// The image, mounted read-only, the lower layer.
    pub base: String,
    /// The VM's own layer: directories `upper`, `work`, `docker` and `containerd` are made on it.
    pub system: String,
    /// Mounted at `/root`; without it `/root` is part of the root.
    #[serde(default)]
    pub work: Option<String>,
    /// Grow the file system of `system` to its device, when the device is larger.
    #[serde(default)]
    pub grow_system: bool,
    /// Grow the file system of `work` to its device, when the device is larger.
    #[serde(default)]
    pub grow_work: bool,
    /// The modules of the kernel; without them `/lib/modules` is the image's own.
    #[serde(default)]
    pub modules: Option<ModulesPlan>,
}

/// Disk and writable layer of the modules at `/lib/modules/<release>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulesPlan {
    /// Serial number of their disk, which is read-only.
    pub disk: String,
    /// Directory of the system disk that takes what the guest writes there, such as modules of its own. One name, own to
    /// the kernel: indexes of one do not fit another.
    pub layer: String,
}

/// Choice of PID 1 once the root is assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitMode {
    /// The image's `/sbin/init` when it has one, else the agent.
    #[default]
    Auto,
    /// The agent.
    Agent,
}

/// Place of a guest's `/tmp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TmpMode {
    /// On the VM's system disk, emptied at each start.
    #[default]
    Disk,
    /// In memory, at most half of the guest's memory.
    Memory,
}

/// One change of the guest's files. Applied inside the new root: symlinks are followed there and never out of it.
/// Missing parent directories are made, mode 0755, root's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestFile {
    /// Make or replace a file.
    Write {
        /// Path of the file.
        path: GuestPath,
        /// Permission bits, at most 0o7777.
        mode: u32,
        /// Owner.
        #[serde(default)]
        uid: u32,
        /// Group.
        #[serde(default)]
        gid: u32,
        /// Complete content.
        content: Content,
    },
    /// Make or replace a file of root's, unless the user has changed it since it was last written so. The first time,
    /// any other file is replaced as well, except for a directory that is not empty.
    WriteUnlessEdited {
        /// Path of the file.
        path: GuestPath,
        /// Permission bits, at most 0o7777.
        mode: u32,
        /// Complete content.
        content: Content,
    },
    /// Make root the owner of a directory, and take the right to write into it from others; other bits stay.
    Guard {
        /// Path of the directory.
        path: GuestPath,
    },
    /// Make a file, unless its name exists.
    WriteIfAbsent {
        /// Path of the file.
        path: GuestPath,
        /// Permission bits, at most 0o7777.
        mode: u32,
        /// Owner.
        #[serde(default)]
        uid: u32,
        /// Group.
        #[serde(default)]
        gid: u32,
        /// Complete content.
        content: Content,
    },
    /// Add a line, unless the file has that very line; other lines stay. Makes the file if it is missing.
    AddLineOnce {
        /// Path of the file.
        path: GuestPath,
        /// Without line end.
        line: String,
        /// Permission bits of the file; set even if the line exists.
        mode: u32,
        /// Owner; set even if the line exists.
        #[serde(default)]
        uid: u32,
        /// Group; set even if the line exists.
        #[serde(default)]
        gid: u32,
    },
    /// Edit `/etc/fstab` (fstab(5)): remove the entries for some mount points, add others. Kept lines keep their
    /// text; an added line replaces all entries for its mount point.
    Fstab {
        /// Mount points whose entries are removed.
        drop_mountpoints: Vec<String>,
        /// Lines to add, at the end, without line ends.
        add: Vec<String>,
    },
    /// Make a symlink, and replace a file or link of that name.
    Symlink {
        /// Path of the link.
        path: GuestPath,
        /// Target of the link.
        target: String,
    },
    /// Make a directory, or set mode and owner of an existing one.
    Dir {
        /// Path of the directory.
        path: GuestPath,
        /// Permission bits, at most 0o7777.
        mode: u32,
        /// Owner.
        #[serde(default)]
        uid: u32,
        /// Group.
        #[serde(default)]
        gid: u32,
    },
    /// Remove a file or link, if it exists.
    Remove {
        /// Path to remove.
        path: GuestPath,
    },
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestMount {
    /// Device, or any word for file systems without one.
    pub source: String,
    /// Mount point; made if it is missing.
    pub target: GuestPath,
    /// Kind of file system.
    pub fstype: String,
    /// As for mount(8): `ro`, `nodev`, `nosuid`, `noexec`, `noatime`, …; unknown ones go to the file system.
    #[serde(default)]
    pub options: Vec<String>,
}

/// Answer to [`super::Request::Configure`]: the root is assembled and its init was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configured {
    /// The current PID 1.
    pub init: RunningInit,
    /// Stages of the guest's start with their durations, in order, from the start of `/init`.
    pub stages: Vec<Stage>,
    /// New at every boot.
    pub boot_id: String,
    /// Release of the kernel (`uname -r`).
    pub kernel: String,
    /// The rows of this guest's identity, read back after it was set.
    #[serde(default)]
    pub rows: Vec<IdentityRow>,
}

/// The running PID 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunningInit {
    /// The agent: the image has no init, or the configuration chose the agent.
    Agent,
    /// systemd.
    Systemd,
    /// Another init (OpenRC, busybox, …).
    Other,
}

/// One stage of the guest's own start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its duration in microseconds.
    pub us: u64,
}

/// Bytes of a file. Text travels as text, everything else as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "ContentForm", into = "ContentForm")]
pub struct Content(pub Vec<u8>);

/// JSON form of [`Content`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ContentForm {
    Text(String),
    Hex(String),
}

/// Error of a [`Content`] that is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("content is not an even number of hexadecimal digits")]
pub struct ContentError;

impl TryFrom<ContentForm> for Content {
    type Error = ContentError;

    fn try_from(form: ContentForm) -> Result<Self, Self::Error> {
        match form {
            ContentForm::Text(text) => Ok(Self(text.into_bytes())),
            ContentForm::Hex(digits) => {
                let digits = digits.as_bytes();
                if digits.len() % 2 != 0 {
                    return Err(ContentError);
                }
                let value = |digit: u8| match digit {
                    b'0'..=b'9' => Ok(digit - b'0'),
                    b'a'..=b'f' => Ok(digit - b'a' + 10),
                    _ => Err(ContentError),
                };
                digits
                    .chunks_exact(2)
                    .map(|pair| Ok(value(pair[0])? << 4 | value(pair[1])?))
                    .collect::<Result<_, _>>()
                    .map(Self)
            }
        }
    }
}

impl From<Content> for ContentForm {
    fn from(content: Content) -> Self {
        match String::from_utf8(content.0) {
            Ok(text) => Self::Text(text),
            Err(error) => {
                let digits = b"0123456789abcdef";
                let bytes = error.as_bytes().iter();
                Self::Hex(
                    bytes
                        .flat_map(|byte| {
                            [
                                digits[usize::from(byte >> 4)],
                                digits[usize::from(byte & 15)],
                            ]
                        })
                        .map(char::from)
                        .collect(),
                )
            }
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may be a private key: never print it.
        write!(f, "Content({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_any_bytes_survives_json() {
        for bytes in [&b"text\n"[..], b"", b"\xff\x00\x80", b"\0"] {
            let content = Content(bytes.to_vec());
            let json = serde_json::to_string(&content).unwrap();
            assert_eq!(
                serde_json::from_str::<Content>(&json).unwrap(),
                content,
                "{json}"
            );
        }
        assert!(serde_json::from_str::<Content>(r#"{"hex":"f"}"#).is_err());
        assert!(serde_json::from_str::<Content>(r#"{"hex":"zz"}"#).is_err());
    }

    #[test]
    fn content_is_not_shown_in_debug_output() {
        assert_eq!(format!("{:?}", Content::from("secret")), "Content(6 bytes)");
    }
}
