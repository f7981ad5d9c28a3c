//! The real machine behind [`banger_ops::Host`].
//!
//! ```text
//! Host ──► files    rustix and std          disks   banger-disk          vmm    banger-engine
//!          guest    the channels, async     making  banger-image, banger-kernel, keys
//!          network  banger-net, banger-process
//! ```
//!
//! Each file has the functions of one family; this one joins them to the trait.

mod container;
mod disks;
mod files;
mod guest;
mod linux;
mod making;
mod network;
mod own_kernel;
mod roots;
mod siblings;
mod vmm;

pub(crate) use container::{choice_hint, of_local_image, open as open_container, platform_of};
pub(crate) use files::failed as file_error;
pub(crate) use linux::GuestMaterial;
pub use linux::LinuxHost;
pub(crate) use network::{Networks, conversation};
pub(crate) use roots::Roots;
pub(crate) use siblings::Siblings;
