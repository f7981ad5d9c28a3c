//! Identity of a process: it recognises the process from any other process, not only from the starter.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// One process of one boot of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Reused by the kernel, so never enough alone.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks between boot and the process's start.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id` when it started.
    pub boot_id: String,
    /// The target of `/proc/PID/exe`.
    pub exe: PathBuf,
    /// A word on its command line that no other start has.
    pub token: String,
}

/// Marks that tell the processes of one program from all others.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Tells whether an executable is the program's. A wrapper or a tracer with the same arguments is not.
    pub is_executable: fn(&Path) -> bool,
    /// The token that an argument of its command line carries, if it carries one.
    pub token_of: fn(&OsStr) -> Option<&str>,
}
