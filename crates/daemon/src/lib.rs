//! banger's control plane: VMs, images and kernels behind an HTTP API on a Unix socket.
//!
//! ```text
//!           http      parse, call, answer
//!            │
//!     banger-control  checks, operations ──────────► banger-ops: plans, journal, recovery
//!            │ trait Environment                           │ trait Host
//!       environment                                        │
//!           host      ◄────────────────────────────────────┘
//!            ├── files, disks     banger-disk
//!            ├── vmm              banger-engine
//!            ├── guest            channels ──► banger-guest      guest_files: what every guest gets
//!            └── making           banger-image, banger-kernel
//! ```
//!
//! Promises: one daemon for each state directory, by a lock; recovery before the first request; a daemon that stops,
//! crashes or is replaced leaves running VMs alone, and the next one adopts them; it is found by everyone who knows its
//! state folder; it does not make room for another one while an operation or a stream is under way.
//!
//! It must not print, and must not trust a guest: every call to one has a deadline and a limit.

mod announcement;
mod authorities;
mod build;
mod channels;
mod conditions;
mod config;
mod console;
mod context;
mod doctor;
mod environment;
mod failure;
mod file_sync;
mod following;
mod gate;
mod guest_files;
mod holder;
mod host;
mod http;
mod image_cache;
mod keys;
mod localhost;
pub mod log_file;
pub mod paths;
mod peers;
mod ports;
mod private;
mod readiness;
mod run;
mod secrets;
mod ssh_hosts;
pub mod stages;
mod state_gone;
mod stats;
mod upkeep;
mod upstream;

pub use announcement::Announcement;
pub use build::build_id;
pub use config::Config;
pub use doctor::{Mended, Missing, host_checks, mend, missing};
pub use holder::{Holder, announced};
pub use http::openapi;
pub use paths::Paths;
pub use run::run;
