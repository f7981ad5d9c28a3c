//! Specification of a jail: all that the process in it may use.

use std::path::PathBuf;

use crate::Group;

/// Access to a file, or to everything in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Read,
    /// Read, and execute programs. A program that is executed is in the same jail.
    Execute,
    /// Read, write and shorten; nothing is made.
    Write,
    /// As [`Access::Write`], and Unix sockets are made and files removed in the directory.
    MakeSockets,
    /// As [`Access::Write`], and files and directories are made, moved and removed in the directory.
    MakeFiles,
    /// A device: read, write and control it.
    Device,
}

/// One thing of the host's that the process sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its absolute path, for the host and in the jail. Links on the way are followed outside and are none inside.
    pub path: PathBuf,
    /// Access to it.
    pub access: Access,
    /// True when the jail is made without it where the host has none.
    pub optional: bool,
}

impl Item {
    /// A thing that must be there.
    pub fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        Self {
            path: path.into(),
            access,
            optional: false,
        }
    }

    /// A thing that some hosts do not have.
    pub fn optional(path: impl Into<PathBuf>, access: Access) -> Self {
        Self {
            optional: true,
            ..Self::new(path, access)
        }
    }
}

/// Network of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// None: Unix sockets in its own directories are all.
    None,
    /// It listens at these TCP ports and connects to nothing.
    Listen(Vec<u16>),
    /// It connects to everything that the host reaches, and listens at these TCP ports.
    Connect(Vec<u16>),
}

impl Network {
    /// TCP ports at which the process listens.
    pub(crate) fn ports(&self) -> &[u16] {
        match self {
            Self::None => &[],
            Self::Listen(ports) | Self::Connect(ports) => ports,
        }
    }
}

/// One jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// All that it sees of the host's files.
    pub items: Vec<Item>,
    /// Its working directory, absolute and without links; one of `items` or in one.
    pub cwd: PathBuf,
    /// Its network.
    pub network: Network,
    /// Most bytes of a file that it writes (`RLIMIT_FSIZE`): a write beyond is an error. With the filter its starter may raise it
    /// later.
    pub file_max_bytes: u64,
    /// Most descriptors that it has open (`RLIMIT_NOFILE`).
    pub descriptors_max: u64,
    /// User and group that the process becomes, when its starter is root and it has the namespaces: without them the
    /// directories on the way to its files would be closed to it.
    pub user: Option<u32>,
    /// The control group that it enters; it is there.
    pub group: Option<Group>,
    /// True when the kernel's namespaces are wanted.
    pub namespaces: bool,
    /// True when landlock is wanted.
    pub landlock: bool,
    /// True when the filter of system calls is wanted.
    pub seccomp: bool,
}
