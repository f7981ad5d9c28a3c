//! Starts VMMs, recognises them again and ends them. Code for every process is in `banger-process`; code for VMMs,
//! their command line, monitor and end, is here.
//!
//! ```text
//!            VmmSpec ──► check ──► command line (pure)
//!               │
//!             start                    find(token)          adopt
//!               ▼                          ▼                  ▼
//!   own session, no fds of ours ──► VmmIdentity ◄── /proc ── same boot, pid, start time,
//!               │                          │                  executable, token, socket peer
//!               │                          ▼
//!               │        state ─► Running | Paused | DiskError | Blocked | Gone { cause }
//!               │        pause, resume, quit                 (monitor socket, with deadlines)
//!               │        kill, wait_gone                     (pidfd, after the identity check)
//!               ▼
//!   the VMM writes its own events and errors into its folder, so that the cause of
//!   its end is known even if no process was there to see it
//! ```
//!
//! Promises:
//! - A process is never signalled by a bare pid: it is opened as a pidfd, then its identity is compared.
//! - Every call returns by its deadline, even when the VMM is stopped, hangs or lies.
//! - Every answer of a VMM is bounded: after an escape the guest speaks through it.
//! - A VMM outlives the process that started it; while that process lives, no zombie stays.
//!
//! It must not: choose names, addresses or sizes, keep state of its own on disk beyond the VM's folder, print, or need
//! a runtime: all calls block and belong on a thread where blocking is allowed.

mod engine;
mod error;
mod host;
mod jail;
mod qemu;
mod qmp;
mod spec;
mod state;
mod sys;
mod text;
mod token;
mod trim;

pub use engine::{Accel, Engine, EngineKind, Probe};
pub use error::EngineError;
pub use host::HostFacts;
pub use jail::{JailMode, JailRecord, JailTrial};
pub use qemu::{QemuEngine, panic_message, version_numbers};
pub use spec::{
    Below, DiskSpec, Memory, NET_PROCESS_SOCKET, NET_SOCKET, NetSpec, NewTop, Publish,
    SERIAL_MAX_BYTES, VmmSpec,
};
pub use state::{ExitCause, IdentityVersion, VmmIdentity, VmmState};
pub use token::{InvalidToken, LaunchToken};
pub use trim::appended as shorten_log;

pub use banger_jail::{
    Controllers, Delegation, JailError, Layer, Layers, NoDelegation, gives_users,
};
pub use banger_process::Signal;
