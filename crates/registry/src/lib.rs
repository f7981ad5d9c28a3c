//! Container images from registries, into a cache of verified blobs.
//!
//! ```text
//!  Reference ─► endpoint ─► manifest ─► platform ─► configuration, layers (4 at a time) ─► Cache (an OCI layout)
//!                  │            every request: credentials ─► token or basic ─► redirects ─► retries
//!                  └─ https; plain http only at loopback, or on request
//!
//!  a blob:  parts/<hex> (locked: one process or thread fetches, the others wait)
//!             ├─ some bytes are there: hashed, and the rest is requested (Range)
//!             └─ complete, size and SHA-256 right ─► fsync ─► rename to blobs/sha256/<hex>
//! ```
//!
//! Entry points: [`Cache::open`], [`fetch`], then `banger_oci::LocalImage::open_manifest` on the cache's folder.
//!
//! Promises: every file in `blobs/` was verified; a killed pull leaves only parts, from which the next one continues;
//! two pulls of one blob fetch it once; every answer has a size limit, every wait a time limit; credentials go only to
//! the registry that they belong to, over TLS; with [`Reach::Public`] the client connects only to public addresses,
//! whatever redirects, token services and name servers say.
//!
//! It must not: know banger's images, read the contents of layers, or write outside its cache.

mod address;
mod blob;
mod body;
mod cache;
mod certificates;
mod challenge;
mod credentials;
mod endpoint;
mod error;
mod fetch;
mod helper;
mod http;
mod manifests;
mod retry;
mod retry_after;
mod secret;
mod session;
mod token;
mod watch;

pub use address::Reach;
pub use cache::{Cache, CachedBlob, Hold};
pub use certificates::CertificateFolders;
pub use challenge::Challenge;
pub use credentials::CredentialFiles;
pub use error::{CertificateError, CredentialError, RegistryError};
pub use fetch::{Fetched, Request, fetch};
pub use secret::Credentials;
pub use watch::{BlobProgress, Watch};
