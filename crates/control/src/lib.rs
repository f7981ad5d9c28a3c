//! The work of requests, without HTTP: checks first, then an operation that waits for its turn and runs plans.
//!
//! ```text
//! request ─► resolve, check ─► operation: a row ─► queue of its VM or name ─► a thread ─► fresh record, check ─► plans
//!                                   │                  (no thread waits)         │ Spawn            banger-ops │ Host
//!                                   └─► events ─► followers                      ▼                             ▼
//!                                                            daemon: a bounded pool, a Linux host, a clock
//!                                                            prove:  turns that a seed decides, a simulated machine
//! ```
//!
//! Promises: a faulty request is refused before anything exists; operations on one VM run one after the other, in the
//! order in which they were asked for; operations that wait take no thread from others; success is reported only after
//! it was written down.
//!
//! It must not touch the machine but through [`banger_ops::Host`] and [`Environment`], and starts no thread but through
//! [`Spawn`].

mod artifact;
mod control;
mod environment;
pub mod image;
pub mod kernel;
mod layers;
mod locks;
mod operations;
mod pool;
mod recovery;
mod refs;
mod spawn;
pub mod system;
pub mod template;
pub mod vm;

pub use banger_ops::{Parents, Places};
pub use control::{Control, Parts};
pub use environment::{
    BootFiles, Environment, Fetch, Fetched, FileUse, HostSize, ImageDefaults, ImageOrigin,
    VmDefaults,
};
pub use locks::{Held, Key, Locks, Queues, Waiter};
pub use operations::{Operations, Running, Subscription};
pub use pool::Pool;
pub use recovery::recover;
pub use refs::{find_image, find_kernel, find_vm};
pub use spawn::{Job, Spawn};
