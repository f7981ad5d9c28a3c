//! Every change of the machine: plans of journalled, idempotent steps over a [`Host`].
//!
//! ```text
//! request ──► plans::create(…) ──► Plan: data, no effect yet
//!                                   │ Runner::run                       one transaction each:
//!                                   ▼
//!    plan + claims(0) + applying 0 ─► apply 0 ─► applied 0 + applying 1 + claims(1) ─► … ─► applied n + finished
//!                                        │ error, deadline, cancelled
//!                                        ▼
//!              Direction::Back:    revert n, n-1 … 0, each journalled; claims released; the VM's row as before
//!              Direction::Forward: stops there with its error; the same plan may be made again and continues
//!
//! after a crash:  Recovery::run reads unfinished plans: Back is reverted, Forward is carried on. It may crash, too.
//! ```
//!
//! Promises: a claim is written before its resource exists; a step's effect is repeated or undone without harm, however
//! much of it happened; a transition costs one commit; steps that destroy a user's data exist only in delete plans, and
//! come last.
//!
//! It must not touch the machine except through [`Host`], and decides nothing about who may ask for what.

mod change;
mod events;
mod host;
pub mod inventory;
mod layout;
mod net_plan;
mod own;
mod places;
mod plan;
pub mod plans;
pub mod policy;
mod recovery;
mod runner;
mod step;
pub mod steps;
mod store_error;
mod template;

pub use change::Change;
pub use events::{Events, NoEvents};
pub use host::{
    BlankDiskSpec, BootStage, ContainerAt, GuestDefaults, GuestSetup, Host, HostResult, ImageFacts,
    ImageSource, KernelFacts, SeedWish,
};
pub use layout::{LayerFiles, VmFiles};
pub use net_plan::{NetPlan, Relay, Route};
pub use own::{NotOwn, OwnDir, OwnFile};
pub use places::{Parents, Places};
pub use plan::{Direction, Ending, Plan, PlanError, PlanKind};
pub use recovery::{Recovered, Recovery};
pub use runner::Runner;
pub use step::{Step, StepBody, StepCx};
pub use store_error::store_error;
pub use template::{TemplateFacts, TemplateFiles};
pub use tokio_util::sync::CancellationToken as Cancel;
