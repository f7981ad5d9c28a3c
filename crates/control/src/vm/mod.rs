//! Requests about VMs.
//!
//! ```text
//! create ─► draft ─► image and kernel made if need be ─► plan "create" ─► start
//! start, stop, restart, kill, delete, save ─► on_vm: find, check, stand in line, settle, fresh record, check ─► plans
//! checkpoint ─► disks that are kept, and the way back to them
//! fork   ─► VMs that begin as another one was
//! ended  ─► a VMM ended by itself                                     runs ─► VMs whose run never began
//! addresses ─► what a VM is at on this host                            published ─► ports that come and go
//! network ─► a network process ended by itself                         rules ─► what a guest may reach
//! ```

mod addresses;
mod checkpoint;
mod create;
mod defaults;
mod delete;
mod ended;
mod fork;
mod launch;
mod names;
mod network;
mod on_vm;
mod own_kernel;
mod ports;
mod published;
mod replace;
mod rules;
mod runs;
mod save;
mod secrets;
mod serial;
mod set;
mod start;
mod stop;
mod suspend;
mod users;
mod view;

pub use checkpoint::{checkpoints, create_checkpoint, delete_checkpoint, restore_checkpoint};
pub(crate) use create::forget_half_made;
pub use create::{DEFAULT_IMAGE, create};
pub use delete::{delete, delete_unclaimed, prune};
pub use ended::vmm_ended;
pub use fork::fork;
pub use network::{ensure_net, net_ended};
pub use published::change_ports;
pub(crate) use published::give_ports;
pub use rules::{change_network, network_view};
pub use runs::{Look, Runs};
pub use save::save;
pub use secrets::give_secrets;
pub use serial::{BASE, MODULES, SYSTEM, WORK};
pub use set::set;
pub use start::{restart, start, start_again};
pub use stop::{kill, stop};
pub use suspend::{pause, resume, suspend};
pub use users::VMM_USERS;
pub(crate) use users::free as free_user;
pub(crate) use view::damaged;
pub use view::{jail_level, vm_view};
