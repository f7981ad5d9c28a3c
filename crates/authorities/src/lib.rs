//! Certificates of authorities, as files of trust hold them.
//!
//! ```text
//!  host's bundle, PEM ──► read_pem ──► [Certificate] ──► pem()            what a guest is sent, and a bundle of its own
//!                                                   └──► subject_hash()   the name `506215f7.0` in /etc/ssl/certs
//! ```
//!
//! Promises: what is not a certificate (a private key that lies beside them, comments, the additions of OpenSSL's "trusted"
//! form) never comes out again. Any input ends after a number of steps that its length bounds.
//!
//! Must not: judge whether a certificate is to be trusted, or read a file.

mod certificate;
mod der;
mod pem;
mod subject;

pub use certificate::{CERTIFICATE_MAX_BYTES, Certificate, CertificateError};
pub use pem::{Pem, read_pem};
