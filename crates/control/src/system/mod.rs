//! Requests about the whole: what is on this host, who claims it, and what is forgotten with time.

mod inventory;
mod upkeep;

pub use inventory::{resources, sweep};
pub use upkeep::upkeep;
