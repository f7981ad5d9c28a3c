//! The protocol between host and guest: messages, framing and limits, and the host's side of it.
//!
//! ```text
//!  host                                                   guest (PID 1's child, the agent)
//!  ────                                                   ─────
//!  Client::connect ── HELLO(nonce) … every 250 ms ──────► skips bytes up to a magic
//!                  ◄─ ACK(nonce, version) ─────────────── ignores all but START / another HELLO
//!                  ── START(nonce) ─────────────────────►
//!                  ◄─ GO(nonce) ───────────────────────── both: one yamux connection from here
//!
//!  one yamux stream per call, always opened by the host:
//!      u32 length │ JSON request        then, by kind of call:
//!          ping configure detach detached
//!          ports stats hold sync shutdown             u32 length │ JSON answer
//!          connect                                    u32 length │ JSON answer, then raw bytes both ways
//!          exec attach                                frames: u8 kind │ u32 length │ payload
//!          put_files get_files get_changes            frames that carry a tar stream, then Done or Failed
//! ```
//!
//! Promises: every length is checked against a named limit in [`limits`] before memory is taken for it; every reply
//! has a deadline; all bytes of a guest end in a typed error at worst, never in a hang, a panic or unbounded memory.
//!
//! It must not: trust a name, a length, a number or a path of the guest; open a file of the host outside the directory
//! that the caller named; know about engines, stores or commands.

pub mod client;
pub mod files;
pub mod limits;
pub mod schema;
pub mod wire;

pub use client::{
    CallStream, Client, ClientError, ClockOffset, ConversationId, PortsWatch, SessionEnd,
};
pub use schema::{
    Answer, Attach, Authorities, Caller, ClockChange, ClockReading, ClockSet, CommandStats,
    Configure, Configured, ConnectTarget, Content, ContentError, CpuTimes, Detached,
    DetachedCommand, DetachedEnd, DetachedId, DiskStats, Door, ExecFailure, ExecFailureKind,
    ExecRequest, ExitStatus, Failure, FailureKind, Found, GetChanges, GetFiles, GrowDisk,
    GuestFile, GuestMount, GuestPath, GuestPathError, GuestStats, IdentityName, IdentityRow,
    InitMode, InstalledKernel, Interface, InterfaceAddress, LISTEN, LISTEN_SOCKET, LISTEN_TCP,
    Listener, Listening, MacAddr, MacAddrError, MemoryStats, ModulesPlan, Net, OwnKernel, Phase,
    Pong, PutFiles, Relay, Request, RootPlan, RunningInit, SetClock, ShutdownMode, Stage, TmpMode,
    TransferDone, TransferFailure, TransportProtocol, TreeFiles, TreePath, TreePathError, Tty,
};
