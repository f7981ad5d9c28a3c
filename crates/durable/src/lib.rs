//! Files that are on the disk when the call returns, and names for their content.
//!
//! ```text
//!  write_new: create (never replace) ─► write ─► fsync
//!  publish:   unnamed file ─► write ─► fsync ─► link ─► fsync of the folder      whole or not at all
//!  write_description: sync of all else ─► JSON ─► sync of the folder               without it a folder is not whole
//!  sha256, Sha256Parts, sha256_file ─► "sha256:…"
//! ```
//!
//! Promises: after `Ok` the content survives a power cut (for [`write_new`] together with [`sync_folder`]); a killed
//! [`publish`] leaves nothing behind where the file system knows unnamed files.
//!
//! It must not: know the purpose of the files, choose their names, or remove anything of the caller's.

mod description;
mod digest;
mod write;

pub use description::{Description, DescriptionError, read_description, write_description};
pub use digest::{Sha256Parts, hex, sha256, sha256_file};
pub use write::{SHARED_FILE, publish, sync_folder, write_new};
