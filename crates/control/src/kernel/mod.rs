//! Requests about kernels.

mod make;
mod view;

pub use make::{delete, forget_left_over, import};
pub(crate) use make::{ensure, forget_of_roots, making, name_of, publish_of_root, wanted};
pub use view::{kernel_view, kernels};
