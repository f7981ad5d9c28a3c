//! Requests about kernels.

mod make;
mod view;

pub use make::{delete, import};
pub(crate) use make::{ensure, making, name_of, wanted};
pub use view::{kernel_view, kernels};
