//! The host's side of the channel.

mod calls;
mod clock;
mod driver;
mod error;
mod intake;
mod stream;

pub use calls::{Client, ConversationId, PortsWatch};
pub use clock::ClockOffset;
pub use error::{ClientError, SessionEnd};
pub use stream::CallStream;
