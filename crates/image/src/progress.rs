//! The stages of this crate's long work.

/// One progress event.
pub type Progress = banger_watch::Progress<Stage>;
/// The caller's side of progress and cancelling.
pub type Watch<'a> = banger_watch::Watch<'a, Stage>;

/// The current part of the work.
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

impl banger_watch::Stage for Stage {
    fn name(self) -> &'static str {
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
