//! Typed events of long work, and the question whether to go on.

use std::ops::ControlFlow;

use crate::error::ImageError;

/// Asked between units of work of at most some tens of milliseconds; `true` ends the work with
/// [`ImageError::Cancelled`].
pub type Cancel<'a> = &'a dyn Fn() -> bool;

/// The part of the work that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// mmdebstrap fetches and installs packages.
    Bootstrap,
    /// An archive or a folder is read.
    ReadTree,
    /// The base is written.
    WriteBase,
    /// The work seed is written.
    WriteSeed,
    /// A disk image is copied in.
    CopyImage,
    /// An archive is written.
    Export,
    /// Everything is synced.
    Sync,
}

impl Stage {
    /// The stage's name on the wire and in progress lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap_image",
            Self::ReadTree => "read_rootfs",
            Self::WriteBase => "write_base",
            Self::WriteSeed => "write_work_seed",
            Self::CopyImage => "copy_image",
            Self::Export => "export_image",
            Self::Sync => "sync_image",
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// To what: a file, a line of a program's output.
    pub detail: String,
    /// Units done (bytes or packages, by stage); 0 when not counted.
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

    pub(crate) fn check(&self) -> Result<(), ImageError> {
        if (self.cancel)() {
            Err(ImageError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// The same question in the form that `banger_disk` asks it.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if (self.cancel)() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
