//! The stages of this crate's long work.

use banger_watch::Cancelled;

use crate::error::KernelError;

/// One event.
pub type Progress = banger_watch::Progress<Stage>;
/// The caller's side of progress and cancelling.
pub type Watch<'a> = banger_watch::Watch<'a, Stage>;

impl From<Cancelled> for KernelError {
    fn from(_stopped: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// The part of the work that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The host's apt looks for and downloads a package.
    FetchPackage,
    /// A package or directory is read.
    ReadSource,
    /// A bzImage is unpacked to its vmlinux.
    UnpackKernel,
    /// Modules are chosen, checked and uncompressed.
    CollectModules,
    /// The result is written and synced.
    Write,
}

impl banger_watch::Stage for Stage {
    fn name(self) -> &'static str {
        match self {
            Self::FetchPackage => "fetch_kernel_package",
            Self::ReadSource => "read_kernel_source",
            Self::UnpackKernel => "unpack_kernel",
            Self::CollectModules => "collect_modules",
            Self::Write => "write_kernel",
        }
    }
}
