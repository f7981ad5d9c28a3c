//! The plans: what each request turns into. Pure functions of records and paths.

mod checkpoint;
mod files;
mod fork;
mod own_kernel;
mod save;
mod sweep;
mod template;
mod vm;

pub use checkpoint::{
    checkpoint, delete_checkpoint, delete_layer, make_layer, make_tops, restore, switch, tidy,
};
pub use files::{
    DeleteFiles, PublishImage, PublishKernel, ReplaceImage, Users, delete_image, delete_kernel,
    discard, kept_name, make_image, make_kernel, publish_image, publish_kernel, rename_image,
    replace_image, superseded, unused_of_roots,
};
pub use fork::fork;
pub use own_kernel::{TakeKernel, take_kernel};
pub use save::{Reading, SaveVm, save_vm, system_clone, work_clone};
pub use sweep::sweep;
pub use template::{MakeTemplate, delete_template, make_template};
pub use vm::{
    CreateDisks, StartVm, create, delete, end_after_exit, end_left_over, end_suspended,
    forget_memory, grow_disk, identity, kill, replace_net, start, stop, suspend,
};
