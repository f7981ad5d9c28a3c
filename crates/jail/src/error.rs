//! Errors of this crate.

use std::io;
use std::path::PathBuf;

/// A layer of a jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Namespaces and the empty root.
    Namespaces,
    /// Landlock.
    Landlock,
    /// The filter of system calls.
    Seccomp,
    /// A control group with limits.
    ControlGroup,
    /// Capabilities, limits and no new privileges, which every jail has.
    Always,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Namespaces => "namespaces",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::ControlGroup => "control group",
            Self::Always => "privileges and limits",
        })
    }
}

/// A jail that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The host, or the kernel, refuses a step.
    #[error("cannot make the jail's layer {layer}: {step}{}", on(path.as_ref()))]
    Step {
        /// The layer.
        layer: Layer,
        /// The step that failed.
        step: &'static str,
        /// Its path, if it has one.
        path: Option<PathBuf>,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The kernel has no such layer.
    #[error("cannot make the jail's layer {layer}: this kernel does not have it")]
    Absent {
        /// The layer.
        layer: Layer,
    },
    /// A path of the spec is not there, or cannot be looked at.
    #[error("cannot use {} in the jail", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The spec cannot be a jail.
    #[error("cannot make the jail: {reason}")]
    Spec {
        /// The problem.
        reason: String,
    },
}

fn on(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| format!(" {}", path.display()))
}

impl JailError {
    /// The layer that failed; `None` when the spec is wrong.
    #[must_use]
    pub fn layer(&self) -> Option<Layer> {
        match self {
            Self::Step { layer, .. } | Self::Absent { layer } => Some(*layer),
            Self::Path { .. } | Self::Spec { .. } => None,
        }
    }
}

/// A step between fork and exec. Its number travels from the child to its starter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Unshare = 1,
    MapIds,
    Detach,
    Look,
    NewRoot,
    MakeTarget,
    Attach,
    EnterRoot,
    SealRoot,
    Directory,
    Become,
    Limit,
    Privileges,
    Landlock,
    Seccomp,
    EnterGroup,
    /// No failure: everything is entered, which a trial wants to know.
    Entered,
}

impl Step {
    const ALL: [Self; 17] = [
        Self::Unshare,
        Self::MapIds,
        Self::Detach,
        Self::Look,
        Self::NewRoot,
        Self::MakeTarget,
        Self::Attach,
        Self::EnterRoot,
        Self::SealRoot,
        Self::Directory,
        Self::Become,
        Self::Limit,
        Self::Privileges,
        Self::Landlock,
        Self::Seccomp,
        Self::EnterGroup,
        Self::Entered,
    ];

    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == number)
    }

    pub(crate) fn layer(self) -> Layer {
        match self {
            Self::Become | Self::Limit | Self::Privileges | Self::Entered => Layer::Always,
            Self::Landlock => Layer::Landlock,
            Self::EnterGroup => Layer::ControlGroup,
            Self::Seccomp => Layer::Seccomp,
            _ => Layer::Namespaces,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Unshare => "make user and mount namespaces",
            Self::MapIds => "map the user into its namespace",
            Self::Detach => "make mounts private",
            Self::Look => "take",
            Self::NewRoot => "mount an empty root",
            Self::MakeTarget => "make a place in the empty root for",
            Self::Attach => "mount in the empty root",
            Self::EnterRoot => "change the root",
            Self::SealRoot => "make the root read-only",
            Self::Directory => "change the directory to",
            Self::Become => "become a user of its own",
            Self::Limit => "set limits",
            Self::Privileges => "drop privileges",
            Self::Landlock => "restrict itself",
            Self::Seccomp => "install the filter",
            Self::EnterGroup => "enter the group",
            Self::Entered => "enter",
        }
    }
}
