//! What requests do: checks first, then an operation that runs plans.
//!
//! ```text
//! request ─► resolve references, check values and states ─► operation ─► plans under the VM's lock ─► watch its VMM
//! ```

mod defaults;
mod doctor;
mod ephemeral;
mod exit;
mod fetching;
mod image_cache;
mod image_view;
mod images;
mod inventory;
mod kept_seed;
mod kernels;
mod launch;
mod names;
mod published;
mod pull;
mod refs;
mod replacing;
mod reseed;
mod save;
mod settings;
mod stats;
mod view;
mod vms;

pub(crate) use doctor::doctor;
pub(crate) use ephemeral::{Runs, expect_run};
pub(crate) use exit::watch;
pub(crate) use image_cache::prune_cache;
pub(crate) use image_view::{image_view, images};
pub(crate) use images::{build_image, delete_image, prune_images, register_image, rename_image};
pub(crate) use inventory::{resources, sweep};
pub(crate) use kernels::{delete_kernel, import_kernel, kernel_view, kernels};
pub(crate) use published::leading_to;
pub(crate) use pull::pull_image;
pub(crate) use refs::{find_image, find_kernel, find_vm};
pub(crate) use replacing::forget_left_over;
pub(crate) use reseed::reseed_image;
pub(crate) use save::save_vm;
pub(crate) use settings::set;
pub(crate) use stats::{memory_bytes, stats};
pub(crate) use view::vm_view;
pub(crate) use vms::{
    create, delete, forget_half_made, kill, prune, restart, start, start_again, stop,
};
