//! Typed events of long work, and the question whether to go on.

/// Asked between units of work of at most some tens of milliseconds; `true` ends the work with
/// [`KernelError::Cancelled`](crate::KernelError::Cancelled).
pub type Cancel<'a> = &'a dyn Fn() -> bool;

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

impl Stage {
    /// The stage's name on the wire and in progress lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FetchPackage => "fetch_kernel_package",
            Self::ReadSource => "read_kernel_source",
            Self::UnpackKernel => "unpack_kernel",
            Self::CollectModules => "collect_modules",
            Self::Write => "write_kernel",
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// To what: a file, a package, a line of a program's output.
    pub detail: String,
    /// Units done (bytes or modules, by stage); 0 when not counted.
    pub done: u64,
    /// Units in all; 0 when not known.
    pub total: u64,
}

/// The caller's side of progress and cancelling, borrowed for one call.
pub struct Watch<'a> {
    progress: &'a mut dyn FnMut(Progress),
    cancel: Cancel<'a>,
}

impl<'a> Watch<'a> {
    /// Reports to `progress` and stops when `cancel` says so.
    pub fn new(progress: &'a mut dyn FnMut(Progress), cancel: Cancel<'a>) -> Self {
        Self { progress, cancel }
    }

    pub(crate) fn report(
        &mut self,
        stage: Stage,
        detail: impl Into<String>,
        done: u64,
        total: u64,
    ) {
        (self.progress)(Progress {
            stage,
            detail: detail.into(),
            done,
            total,
        });
    }

    pub(crate) fn cancel(&self) -> Cancel<'a> {
        self.cancel
    }

    pub(crate) fn check(&self) -> Result<(), crate::KernelError> {
        if (self.cancel)() {
            Err(crate::KernelError::Cancelled)
        } else {
            Ok(())
        }
    }
}
