//! The kinds of steps, one file for each family.

mod directory;
mod disk;
mod guest;
mod layers;
mod make;
mod network;
mod save;
mod stray;
mod suspend;
mod switch;
mod template;
mod vmm;

pub use directory::{
    DirectoryStage, MakeDirectory, PublishDirectory, RemoveDirectory, RemoveFile, SyncFiles,
};
pub use disk::{GrowFile, GrowRunningDisk, MakeSystemOverlay, MakeWorkDisk, WorkDiskSource};
pub use guest::{ConfigureGuest, ShutdownGuest};
pub use layers::{CopyWorkspaces, FreezeDisk, GrowTop, MakeTop};
pub use make::{MakeImage, MakeInitramfs, MakeKernel, MakeSshHostKey};
pub(crate) use network::net_claim;
pub use network::{EndNet, EndStrayNet, LaunchNet, NetLaunch, NetStarted, ReplaceNet};
pub use save::{CloneDisk, ReadKernel, ReadRoot, Reader};
pub use stray::EndStray;
pub use suspend::{GreetGuest, SuspendGuest};
pub use switch::{SwitchDisks, Switched, TopOf};
pub use template::{CopyMemory, SaveTemplate, TryTemplate};
pub use vmm::{EndVmm, LaunchVmm, user_claim};
pub(crate) use vmm::{claims_of, in_directory, process_claim};
