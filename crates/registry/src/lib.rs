//! Container images from registries, into a cache of verified blobs.
//!
//! ```text
//!  Reference ─► endpoint ─► manifest ─► platform ─► configuration, layers (4 at a time) ─► Cache (an OCI layout)
//!                  │            every request: credentials ─► token or basic ─► redirects ─► retries
//!                  └─ https; plain http only at loopback, or when asked
//!
//!  a blob:  parts/<hex> (locked: one process or thread fetches, the others wait)
//!             ├─ there is some of it: hashed, and asked for from there on (Range)
//!             └─ complete, size and SHA-256 right ─► fsync ─► rename to blobs/sha256/<hex>
//! ```
//!
//! What other crates call: [`Cache::open`], [`fetch`], then `banger_oci::LocalImage::open_manifest` on the cache's folder.
//!
//! Promises: nothing is in `blobs/` that was not verified; a pull that is killed leaves only parts, which the next one
//! goes on from; two pulls of one blob fetch it once; no answer is read without a limit, no wait is without an end;
//! credentials go to the registry that they are for, over TLS, and to nobody else; with [`Reach::Public`] nobody but public
//! addresses is connected to, whatever redirects, token services and name servers say.
//!
//! It must not: know what images banger has, look into layers, or write outside its cache.

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
