//! Templates: VMs wake in a machine that was saved while it waited to be told what it is, instead of booting a kernel.
//!
//! ```text
//! start of a VM ─► its key ─► a template? ── yes ──► copy of the memory ─► wake ─► configure ─► runs
//!                                │ no                                  any failure │
//!                                ▼                                                 ▼
//!                              boot ◄────────────────────────────────────── boot, in the same operation
//!                                │ done
//!                                ▼
//!                     make one for the next, in the background; remove the one that failed
//! ```
//! A template saves time and decides nothing: whatever is wrong with one ends in a boot.

mod key;
mod make;
mod remove;
mod view;
mod wake;

pub use key::TemplateRules;
pub use make::{Wanted, make};
pub(crate) use remove::remove_of_kernel;
pub use remove::{prune, sweep};
pub use view::{Template, templates};
pub(crate) use wake::{Found, discard, template_for, want, woken};
