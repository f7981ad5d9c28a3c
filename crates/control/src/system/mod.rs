//! Requests about the whole host: the inventory with its owners, and upkeep.

mod inventory;
mod upkeep;

pub use inventory::{resources, sweep};
pub use upkeep::upkeep;
