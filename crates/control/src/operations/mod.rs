//! Operations that run now or wait for their turn: their events, following and cancelling them.
//!
//! ```text
//! spawn(asked, work) ──► row in the store ──► its turn at each lock ──► a thread runs the work ──► events ──► followers
//!                                                                         │                       (a late one gets all)
//!                                                                         └──► row finished, Finished event
//! ```

mod registry;
mod running;
mod view;

pub use registry::Operations;
pub(crate) use registry::{Asked, Locked};
pub use running::{Running, Subscription};
pub use view::timestamp;
