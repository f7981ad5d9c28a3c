//! Conditions of running VMs: a VMM that stands still, an agent that is gone.
//!
//! ```text
//! every 3 s, for each VM:  ping ── answered ──► well
//!                            │ not within 1 s
//!                            ▼
//!            /proc: stopped? ─► monitor: running? ─► port open? ── yes ──► the ping's 5 s go on
//!                  └─────────────────┴──────────────────┴─ no ──► a condition
//!                                                  closed for 5 s ──► every call to the agent ends
//! an answer ──► the guest's clock is looked at, once a minute
//! ps, show ──► what the heartbeats found + one look at /proc, which asks no guest
//! ```

mod clock;
mod heartbeat;
mod known;

pub(crate) use heartbeat::Heartbeat;
pub(crate) use known::Conditions;
