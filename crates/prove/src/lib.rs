//! Proof by machine that no data is lost and no resource is left behind, for every failure at every moment.
//!
//! ```text
//!  scenarios, seeds ──► the real control plane: requests, queues, plans, recovery ──► Host ──► SimHost: files, processes
//!                          │                        │                                      │  a fault at action k:
//!                          │                        └──► the real store, in memory ◄───────┤  crash, failure, hang,
//!                          ▼                                                               ▼  power cut
//!                   every command works                    after every action: everything that exists has a claim
//!                                                          at rest: no work disk lost, nothing left, states are true …
//! ```
//!
//! Promises: the same seed gives the same run; each finding names the one command that repeats it; the code under proof
//! is the product's, `banger-control` and all below it, not a copy; threads take turns in the order of the seed.
//!
//! It must not touch the real machine: no file, no process, no clock except for its own running time.

mod acting;
mod content;
mod daemon;
mod damage;
mod environment;
mod events;
mod fault;
mod fs;
mod host;
mod instant;
mod launch;
mod layout;
mod machine;
mod process;
mod random;
mod report;
mod requests;
mod run;
mod scenario;
mod schedule;
mod seeds;
mod settled;
mod snapshot;
mod stray;
mod sweep;
mod tamper;
mod turns;
mod works;

pub use acting::SimHost;
pub use fault::Mode;
pub use report::{Failure, Options, Report};
pub use run::{ProveError, run, run_with};
pub use tamper::{Honest, Tamper};
