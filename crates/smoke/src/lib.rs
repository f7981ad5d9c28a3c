//! Black-box scenarios: they drive the built `banger` binary as a person or a script would, against real guests.
//!
//! ```text
//!   prepare-guests (once)                each scenario (own process, own BANGER_HOME)
//!   ─────────────────────                ────────────────────────────────────────────
//!   prepared-<key>/  kernel, images ──►  Sandbox   hard links to the prepared images, copies of small files
//!        │ keyed by the recipes             │
//!        └ built through banger itself      ├─ banger(…)   Invocation ─► Running ─► Finished  (deadline, whole group)
//!                                           ├─ terminal(…) a real pseudo-terminal
//!                                           └─ drop        delete VMs, stop the daemon, then look for anything left
//! ```
//!
//! Promises:
//! - nothing here links to a crate of the product: a scenario sees what a user sees;
//! - every command has a deadline, and all its children are ended with it;
//! - a scenario that passes has left no process, socket, mount or VM file behind: dropping its sandbox checks this;
//! - leftovers of a killed run are removed by the next one, and only these: never the user's own VMs.
//!
//! It must not use the user's own banger state, nor send traffic beyond loopback.
//!
//! Failures panic with the command line and all output, as tests do.

mod binary;
mod distributions;
mod eventually;
pub mod guest_clock;
mod leftovers;
mod old_build;
mod prepared;
mod process;
mod registry;
mod sandbox;
mod step;
mod systemd;
mod terminal;
mod test_root;

pub use binary::{banger_binary, find_on_path};
pub use distributions::Distributions;
pub use eventually::eventually;
pub use leftovers::{Leftover, processes_of};
pub use old_build::OldBuild;
pub use prepared::{PrepareError, PreparedGuests};
pub use process::{Finished, Invocation, Running};
pub use registry::Registry;
pub use sandbox::Sandbox;
pub use step::{note, step};
pub use systemd::{BOOT, reaches_running};
pub use terminal::Terminal;
pub use test_root::{sweep_dead_sandboxes, test_root};
