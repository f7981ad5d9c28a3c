//! Writes root file systems as tar streams (POSIX pax): owners, hard links, devices, extended attributes, holes.
//!
//! ```text
//!  header(Entry) ─► [pax records] ─► ustar header ─► content(…) … ─► end_content() ─► header(Entry) … ─► finish()
//! ```
//!
//! For trees that must come back unchanged: a guest's root on its way to the host, an exported image. Both sides
//! run with nothing but the standard library, because the agent has to stay small.
//!
//! Promises: the same entries give the same bytes; names of any bytes and numbers of any size arrive.
//!
//! It must not: read a file system, or know layers. Crate `banger_oci` reads archives.

mod entry;
mod pax;
mod writer;

pub use entry::{Entry, Kind, Xattr};
pub use writer::Writer;
