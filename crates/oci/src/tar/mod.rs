//! Tar archives (POSIX pax, GNU, old): headers to entries. Contents are never read, only located.
//!
//! ```text
//!  header block ─► 'x' pax records, 'L'/'K' GNU long names ─► kept for the next entry
//!               ─► 'g' pax records ─► kept for all entries
//!               ─► anything else ─► Entry { path, kind, owner, time, xattrs, place of its data }
//! ```
//! pax records are cut by their length, not at newlines: a file capability may hold any byte.

mod entry;
mod header;
mod pax;
mod reader;
mod sparse;

pub use entry::{Entry, EntryKind};
pub use reader::{TarError, TarReader, Trailer};
