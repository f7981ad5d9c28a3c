//! The `banger` command: arguments in, calls to the daemon, text or JSON out.
//!
//! ```text
//! arguments ──► args, commands ──► session ──► client ══ daemon
//!                   │                  └─► launch: starts or replaces the daemon
//!                   ├─► follow ──► progress        an operation to its end, Ctrl-C cancels it
//!                   ├─► attach, terminal           a guest command at our standard streams
//!                   └─► view ──► output            the one place that prints
//! ```
//!
//! It promises: data on standard output and nothing else there; errors as `error:` and `hint:` lines, or as JSON with
//! `--json`; the exit codes of [`banger_api::ErrorCode::exit_code`], and the guest command's own for `run` and `exec`;
//! a terminal that is as it was, whatever happened. It must not decide anything about VMs: that is the daemon's part.

mod args;
mod attach;
mod commands;
mod complete;
mod consent;
mod context;
mod counted;
mod counting;
mod detach;
mod duration;
mod endpoint;
mod entry;
mod env_file;
mod failure;
mod first_run;
mod follow;
mod guest_ssh;
mod habits;
mod host_path;
mod launch;
mod lost_guest;
mod mcp_host;
mod older_daemon;
mod output;
mod progress;
mod prune;
mod references;
mod run_words;
mod service;
mod session;
mod signals;
mod takeover;
mod terminal;
mod timings;
mod usage;
mod view;
mod waking;
mod workspace;

pub use entry::main;
