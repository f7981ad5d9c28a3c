//! Layers that a jail has.

use serde::{Deserialize, Serialize};

use crate::{JailError, Layer};

/// Layers around one process, beyond those that are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// A root directory with its own files alone, and IPC, UTS and cgroup namespaces of its own.
    pub namespaces: bool,
    /// A network namespace without any interface that is up.
    pub network_namespace: bool,
    /// Version of the kernel's landlock interface whose rules hold it.
    pub landlock_abi: Option<u32>,
    /// System calls that it does not need are refused.
    pub seccomp: bool,
    /// A user of its own, where its starter is root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// A control group of its own, with limits, where the host delegates one. No jail is less for its lack: [`Layers::is_full`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control_group: bool,
}

impl Layers {
    /// No layer beyond those that are always there.
    pub const NONE: Self = Self {
        namespaces: false,
        network_namespace: false,
        landlock_abi: None,
        seccomp: false,
        user: None,
        control_group: false,
    };

    /// Every layer, with any version of landlock.
    pub const FULL: Self = Self {
        namespaces: true,
        network_namespace: true,
        landlock_abi: Some(1),
        seccomp: true,
        user: None,
        control_group: true,
    };

    /// These wanted layers without the one that failed; `None` when that is none that a jail can be without.
    #[must_use]
    pub fn without(self, error: &JailError) -> Option<Self> {
        match error.layer()? {
            Layer::Namespaces if self.namespaces => Some(Self {
                namespaces: false,
                network_namespace: false,
                user: None,
                ..self
            }),
            Layer::Landlock if self.landlock_abi.is_some() => Some(Self {
                landlock_abi: None,
                ..self
            }),
            Layer::ControlGroup if self.control_group => Some(Self {
                control_group: false,
                ..self
            }),
            Layer::Seccomp if self.seccomp => Some(Self {
                seccomp: false,
                ..self
            }),
            _ => None,
        }
    }

    /// Tells whether nothing is missing that keeps the process from what is not its own.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.namespaces && self.landlock_abi.is_some() && self.seccomp
    }

    /// Tells whether the host's files are out of reach.
    #[must_use]
    pub fn guards_files(&self) -> bool {
        self.namespaces || self.landlock_abi.is_some()
    }
}
