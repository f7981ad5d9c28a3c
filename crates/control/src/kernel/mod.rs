//! Requests about kernels.

mod make;
mod view;

pub use make::{delete, import};
pub(crate) use make::{ensure, making, name_of, publish_of_root, wanted};
pub use view::{kernel_view, kernels};
