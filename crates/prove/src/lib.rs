//! Shows by machine that nothing is lost and nothing is left behind, whatever fails at whatever moment.
//!
//! ```text
//!  scenarios, seeds ──► the real control plane: requests, queues, plans, recovery ──► Host ──► SimHost: files, processes
//!                          │                        │                                      │  a fault at action k:
//!                          │                        └──► the real store, in memory ◄───────┤  crash, failure, hang,
//!                          ▼                                                               ▼  power cut
//!                   every command works                    after every action: all that is there is claimed
//!                                                          at rest: no work disk lost, nothing left, states are true …
//! ```
//!
//! Promises: the same seed is the same story; what it finds names the one command that plays it again; the code under proof
//! is the code that runs, `banger-control` and all below it, not a copy; threads take turns as the seed says.
//!
//! It must not touch the real machine: no file, no process, no clock but for its own running time.

mod content;
mod daemon;
mod damage;
mod environment;
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

pub use fault::Mode;
pub use host::SimHost;
pub use report::{Failure, Options, Report};
pub use run::{ProveError, run, run_with};
pub use tamper::{Honest, Tamper};
