//! The host's side of the channel.

mod calls;
mod driver;
mod error;
mod intake;
mod stream;

pub use calls::Client;
pub use error::{ClientError, SessionEnd};
pub use stream::CallStream;
