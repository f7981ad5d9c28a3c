//! Messages between the two sides: plain data, checked while it is read.

mod call;
mod clock;
mod configure;
mod detached;
mod exec;
mod from_guest;
mod identity;
mod listen;
mod net;
mod path;
mod report;
mod transfer;
mod tree;
mod words;

pub use call::{
    Answer, ConnectTarget, Failure, FailureKind, GrowDisk, Phase, Pong, Request, ShutdownMode,
};
pub use clock::{ClockChange, ClockReading, ClockSet, SetClock};
pub use configure::{
    Authorities, Configure, Configured, Content, ContentError, GuestFile, GuestMount, InitMode,
    InstalledKernel, ModulesPlan, OwnKernel, RootPlan, RunningInit, Stage, TmpMode,
};
pub use detached::{Attach, Detached, DetachedCommand, DetachedEnd, DetachedId};
pub use exec::{ExecFailure, ExecFailureKind, ExecRequest, ExitStatus, Tty};
pub use from_guest::FromGuest;
pub use identity::{IdentityName, IdentityRow};
pub use listen::{Caller, LISTEN, LISTEN_SOCKET, LISTEN_TCP, Listening};
pub use net::{Door, Interface, InterfaceAddress, MacAddr, MacAddrError, Net, Relay};
pub use path::{GuestPath, GuestPathError};
pub use report::{
    CommandStats, CpuTimes, DiskStats, GuestStats, Listener, MemoryStats, TransportProtocol,
};
pub use transfer::{GetChanges, GetFiles, PutFiles, TransferDone, TransferFailure};
pub use tree::{Found, TreeFiles, TreePath, TreePathError};
