//! Jails of VMMs.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A word for a jail as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JailLevel {
    /// Every layer.
    Full,
    /// The host's files are out of reach; some of the rest is not.
    Files,
    /// Neither files nor the rest; only capabilities, new privileges and limits.
    None,
}

impl fmt::Display for JailLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Files => "files only",
            Self::None => "none",
        })
    }
}

/// The jail of a VMM, as it was made at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmJail {
    /// All of it in a word.
    pub level: JailLevel,
    /// A root with the VM's own files alone, and namespaces.
    pub namespaces: bool,
    /// A network namespace of its own, for a VM without network.
    pub network_namespace: bool,
    /// Version of landlock that holds it.
    pub landlock_abi: Option<u32>,
    /// System calls that it does not need are refused.
    pub seccomp: bool,
    /// User of the host that this VMM alone is, when the daemon is root.
    #[serde(default)]
    pub user: Option<u32>,
    /// A control group with limits of memory, processors and threads, where the host delegates one.
    #[serde(default)]
    pub control_group: bool,
    /// Cause of the first missing layer that was wanted.
    pub lacks: Option<String>,
}

impl fmt::Display for VmJail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut layers = Vec::new();
        if self.namespaces {
            layers.push("namespaces".to_owned());
        }
        if self.network_namespace {
            layers.push("no network".to_owned());
        }
        if let Some(abi) = self.landlock_abi {
            layers.push(format!("landlock {abi}"));
        }
        if self.seccomp {
            layers.push("seccomp".to_owned());
        }
        if let Some(user) = self.user {
            layers.push(format!("user {user}"));
        }
        if self.control_group {
            layers.push("control group".to_owned());
        }
        write!(f, "{}", self.level)?;
        if !layers.is_empty() {
            write!(f, " ({})", layers.join(", "))?;
        }
        match &self.lacks {
            Some(cause) => write!(f, "; {cause}"),
            None => Ok(()),
        }
    }
}
