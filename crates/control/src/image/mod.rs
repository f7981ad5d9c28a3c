//! Requests about images.
//!
//! ```text
//! build, register, pull, save ─► plan "make" in staging ─► publish: a free name
//!                                                       └► replace: a name that stands for other files
//! ```

mod kept_seed;
mod make;
mod names;
mod pull;
mod replace;
mod reseed;
mod view;

pub use make::{build, register};
pub(crate) use make::{ensure, known, making, publish_made, seed_wish};
pub(crate) use names::Naming;
pub use names::{delete, prune, rename};
pub use pull::pull;
pub(crate) use replace::forget_with_vm;
pub use reseed::reseed;
pub use view::{image_view, images};
