//! The real surroundings of the control plane: [`banger_control::Environment`] over this host.
//!
//! ```text
//! Environment ──► linux    the host's size, files, what boots      images   descriptions of images
//!                 pull     registries and container images          watch    VMMs that end, runs that never begin
//!                 networks network processes that end              templates  saved guests, and when they are made
//! ```

mod fetching;
mod images;
mod linux;
mod networks;
mod pull;
mod templates;
mod watch;

pub(crate) use linux::LinuxEnvironment;
pub(crate) use networks::Replacements;
pub(crate) use templates::{TEMPLATES_QUOTA, WantedTemplates};
