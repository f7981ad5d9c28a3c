//! banger's state on disk: VMs, images, kernels, operations with their journal, and claims.
//!
//! ```text
//!   write(|tx| …) ──► queue ──► whoever comes first ──► BEGIN, each closure in a savepoint, COMMIT (one fsync for all) ──► answers
//!   read(|db| …)  ──► a reading connection, never behind a writer (WAL)
//! ```
//!
//! Promises: what `write` has answered survives a power cut (WAL, `synchronous=FULL`; `write_as(Soon)` waits for the next
//! of these, and survives everything else); a closure that fails leaves no
//! trace and does not disturb the others of its batch; names and claimed resources have one owner, by unique
//! constraints; a database of an older version is brought forward, one transaction for each version; one of a newer
//! version is refused untouched.
//!
//! A row that cannot be read is one damaged thing: lists show it, with the reason, and it can be removed; it is never
//! taken for absent, and never written over.
//!
//! Each change of a VM, an operation, an image or a kernel is an event of a log, written in the same transaction by the
//! database itself.
//!
//! It must not decide anything: which change is allowed, and in which order, is the caller's business.

mod checkpoints;
mod claims;
mod connection;
mod error;
mod events;
mod form;
mod images;
mod journal;
mod kernels;
mod layers;
mod migrations;
mod network;
mod reboots;
mod recorded;
mod statement;
mod vm_disks;
mod vms;
mod writer;

pub use checkpoints::CheckpointRecord;
pub use claims::{Claim, ClaimKind, Owner, UnreadableClaim};
pub use connection::{Committed, Durability, Gate, Store};
pub use error::{StoreError, Trouble};
pub use images::ImageRecord;
pub use journal::{JournalStep, OperationRecord, PlanRecord, UnreadableRow};
pub use kernels::KernelRecord;
pub use network::VmNetwork;
pub use reboots::Reboots;
pub use recorded::RecordedVmm;
pub use rusqlite::{Connection, Transaction};
pub use vm_disks::{DiskNames, VmDisks};
pub use vms::{OwnKernel, VmRecord};

/// Changes and look-ups on VMs, for use inside [`Store::write`] and [`Store::read`].
pub mod vm {
    pub use crate::vms::{
        by_id, by_name, delete, insert, list, names, update, uses_image, uses_kernel,
    };
}
/// The same for checkpoints.
pub mod checkpoint {
    pub use crate::checkpoints::{by_id, delete, delete_of_vm, insert, of_vm};
}

/// Look-ups on frozen layers of disks. Users of layers are counted as VMs and checkpoints change.
pub mod layer {
    pub use crate::layers::{is_used, used};
}

/// The same for images.
pub mod image {
    pub use crate::images::{by_name, delete, insert, is_named, list, rename};
}
/// The same for kernels.
pub mod kernel {
    pub use crate::kernels::{by_name, delete, insert, is_named, list};
}
/// The same for claims.
pub mod claim {
    pub use crate::claims::{
        add, is_taken, list, of_owner, release, release_all, release_kind, transfer, unreadable,
    };
}
/// Look-ups in the log of events. Nothing but the database writes it.
pub mod event {
    pub use crate::events::{after, before_last, log, newest, oldest, trim};
}
/// The same for operations, plans and their steps.
pub mod operation {
    pub use crate::journal::{
        abandon_plans, begin_plan, finish_operation, finish_plan, insert_operation, operation,
        operations, set_step, steps, steps_of_operation, trim, unfinished_plans, unreadable,
    };
}
