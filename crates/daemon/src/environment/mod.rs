//! The real surroundings of the control plane: [`banger_control::Environment`] over this host.
//!
//! ```text
//! Environment ──► linux    the host's size, files, what boots      images   descriptions of images
//!                 pull     registries and container images          watch    VMMs that end, runs that never begin
//!                 networks network processes that end
//! ```

mod fetching;
mod images;
mod linux;
mod networks;
mod pull;
mod watch;

pub(crate) use linux::LinuxEnvironment;
pub(crate) use networks::Replacements;
