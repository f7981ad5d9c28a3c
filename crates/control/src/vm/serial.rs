//! Serials of a VM's disks, by which the guest finds them.

/// The image's base, read-only.
pub const BASE: &str = "base";
/// The system overlay.
pub const SYSTEM: &str = "system";
/// The work disk.
pub const WORK: &str = "work";
/// The kernel's modules, read-only.
pub const MODULES: &str = "modules";
