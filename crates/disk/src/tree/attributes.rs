//! Type, owner and permissions of a node.

use super::contents::Contents;
use super::error::TreeError;

/// A moment: seconds since 1970 (may be negative) and nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// A whole second.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }
}

/// Owner, permissions and time of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, set-id and sticky bits: at most 07777.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last modification; access and change times get the same value.
    pub mtime: Timestamp,
}

impl Attributes {
    /// root:root with `mode`, at the start of 1970.
    pub const fn root(mode: u16) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            mtime: Timestamp::from_seconds(0),
        }
    }

    pub(super) fn check(&self) -> Result<(), TreeError> {
        if self.mode > 0o7777 {
            return Err(TreeError::BadAttribute {
                what: "mode",
                value: format!("{:o}", self.mode),
            });
        }
        if self.mtime.nanoseconds > 999_999_999 {
            return Err(TreeError::BadAttribute {
                what: "nanoseconds",
                value: self.mtime.nanoseconds.to_string(),
            });
        }
        Ok(())
    }
}

/// Numbers of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// At most 4095 (12 bits, see `MKDEV` in the kernel).
    pub major: u32,
    /// At most 1,048,575 (20 bits).
    pub minor: u32,
}

impl DeviceNumber {
    /// Checks the ranges of Linux's `dev_t`.
    ///
    /// # Errors
    /// Fails when one of the numbers is out of range.
    pub fn new(major: u32, minor: u32) -> Result<Self, TreeError> {
        if major > 0xFFF || minor > 0xF_FFFF {
            return Err(TreeError::BadAttribute {
                what: "device number",
                value: format!("{major}:{minor}"),
            });
        }
        Ok(Self { major, minor })
    }
}

/// Type of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Contents),
    /// A symbolic link and its target.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

impl NodeKind {
    /// Tells whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory)
    }
}
