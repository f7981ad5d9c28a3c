//! Templates: guests that were saved while they waited to be told what they are. Any number of VMs wakes from one.
//!
//! ```text
//! state/templates/<key>/   memory  state  template.json
//! ```
//! The key is a digest of all that must be the same where the guest goes on, so nothing in a template ever changes: another
//! machine is another template. It belongs to its kernel. A VM wakes with a copy of the memory, so a template may go at any
//! time.

use std::path::PathBuf;

use banger_api::ContentDigest;
use serde::{Deserialize, Serialize};

use crate::own::OwnDir;

const MEMORY: &str = "memory";
const STATE: &str = "state";
const FACTS: &str = "template.json";

/// The files of one template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFiles {
    /// Their directory.
    pub dir: OwnDir,
}

impl TemplateFiles {
    /// The guest's memory.
    pub fn memory(&self) -> PathBuf {
        self.dir.join(MEMORY)
    }

    /// State of its devices and processors.
    pub fn state(&self) -> PathBuf {
        self.dir.join(STATE)
    }

    /// Its facts, for people: [`TemplateFacts`].
    pub fn facts(&self) -> PathBuf {
        self.dir.join(FACTS)
    }

    /// All of them.
    pub fn all(&self) -> Vec<PathBuf> {
        vec![self.memory(), self.state(), self.facts()]
    }
}

/// Facts of a template, for people: nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFacts {
    /// Its kernel.
    pub kernel: ContentDigest,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// Time of its making, ms since 1970.
    pub made_ms: i64,
}
