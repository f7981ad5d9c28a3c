//! Steps: plain data with three functions, `claims`, `apply` and `revert`.

use std::path::Path;

use banger_store::Claim;
use serde::{Deserialize, Serialize};

use crate::steps::{
    CloneDisk, ConfigureGuest, CopyMemory, CopyWorkspaces, EndNet, EndStray, EndStrayNet, EndVmm,
    FreezeDisk, GreetGuest, GrowFile, GrowRunningDisk, GrowTop, LaunchNet, LaunchVmm,
    MakeDirectory, MakeImage, MakeInitramfs, MakeKernel, MakeSshHostKey, MakeSystemOverlay,
    MakeTop, MakeWorkDisk, PublishDirectory, ReadKernel, ReadRoot, RemoveDirectory, RemoveFile,
    ReplaceNet, SaveTemplate, ShutdownGuest, SuspendGuest, SwitchDisks, SyncFiles, TryTemplate,
};
use crate::{Cancel, Change, Events, Host, HostResult};

/// Context of a step while it acts.
pub struct StepCx<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// Receiver of its progress.
    pub events: &'a dyn Events,
    /// Request to stop. Reverts and forward plans get one that never fires.
    pub cancel: &'a Cancel,
}

/// Abilities of every kind of step.
pub trait StepBody {
    /// The stage under which users see it.
    fn stage(&self) -> &'static str;

    /// Directories that it removes, applied or undone, with all that is in them. A plan that names anything outside
    /// banger's directories is not carried on.
    fn removes(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// Claims on what it makes on the host: written to the store before `apply`, released after `revert`.
    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    /// Claims on what it removes from the host: released with `applied`.
    fn releases(&self) -> Vec<Claim> {
        Vec::new()
    }

    /// Has the effect, all of it also when a part is there already.
    ///
    /// # Errors
    /// The host's.
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>>;

    /// Undoes the effect, also when only a part of it, or nothing, is there.
    ///
    /// # Errors
    /// The host's.
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>>;
}

macro_rules! steps {
    ($($name:ident),* $(,)?) => {
        /// One step of a plan.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "step", rename_all = "snake_case")]
        #[allow(missing_docs)] // each is documented at its own type
        pub enum Step {
            $($name($name),)*
        }

        $(impl From<$name> for Step {
            fn from(step: $name) -> Self {
                Self::$name(step)
            }
        })*

        impl Step {
            /// Its functions.
            pub fn body(&self) -> &dyn StepBody {
                match self {
                    $(Self::$name(step) => step,)*
                }
            }

            /// Its name in the journal.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }
        }
    };
}

steps!(
    CloneDisk,
    ConfigureGuest,
    CopyMemory,
    CopyWorkspaces,
    EndNet,
    EndStray,
    EndStrayNet,
    EndVmm,
    FreezeDisk,
    GreetGuest,
    GrowFile,
    GrowRunningDisk,
    GrowTop,
    LaunchNet,
    LaunchVmm,
    MakeDirectory,
    MakeImage,
    MakeInitramfs,
    MakeKernel,
    MakeSshHostKey,
    MakeSystemOverlay,
    MakeTop,
    MakeWorkDisk,
    PublishDirectory,
    ReadKernel,
    ReadRoot,
    RemoveDirectory,
    RemoveFile,
    ReplaceNet,
    SaveTemplate,
    ShutdownGuest,
    SuspendGuest,
    SwitchDisks,
    SyncFiles,
    TryTemplate,
);
