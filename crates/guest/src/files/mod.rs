//! Files as tar streams: both sides pack a tree with it, and unpack an untrusted one.
//!
//! ```text
//!  pack ──► archive::ArchiveWriter ──► Data frames ══ channel ══► archive::ArchiveReader ──► unpack
//!  (openat, never follows)              transfer                   (bounded)                  (openat2 beneath dest)
//! ```
//!
//! Kept: names of any bytes, permission bits with the sticky bit, modification times to the nanosecond, symlinks as
//! links, files of any size; runs of zeros become holes. Not kept: owners, set-user-id and set-group-id bits,
//! hard links (each becomes a file), extended attributes. Sockets, fifos and devices are left out and counted.
//! [`pack_root`] keeps all of these, for a whole root that becomes an image.

pub mod archive;
mod changes;
mod error;
mod looked;
mod manifest;
mod pack;
mod pax;
mod place;
mod root;
mod transfer;
mod unpack;

pub use changes::{CHANGED, GONE, LEFT, LeftKind, answer_changes, ask_changes};
pub use error::{FilesError, TransferError};
pub use looked::Looked;
pub use manifest::{FileKind, KnownFile, Manifest, ManifestError};
pub use pack::{PackOptions, pack, pack_entry};
pub use place::Target;
pub use root::pack_root;
pub use transfer::{
    Make, download, download_stream, receive, receive_unchanged, send, send_root, upload,
    upload_made,
};
pub use unpack::{UnpackLimits, unpack, unpack_unchanged};
