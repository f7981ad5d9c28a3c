//! Errors of registries, as fragments that a caller composes with their sources.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_oci::Digest;
use banger_oci::choice::ChoiceError;
use banger_oci::manifest::DocumentError;

/// Cause of a failure to get an image from a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A file of the cache cannot be used.
    #[error("cannot {action} {}", path.display())]
    Cache {
        /// Action that failed.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// No HTTP client can be made: for example, the host's certificates cannot be read.
    #[error("cannot set up connections to registries")]
    Client {
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry does not answer, or its answer broke off.
    #[error("cannot fetch {what} from {host}")]
    Transfer {
        /// The requested thing.
        what: String,
        /// Host that the request went to.
        host: String,
        /// Cause, from the HTTP client.
        #[source]
        source: reqwest::Error,
    },
    /// A status that the protocol does not expect here.
    #[error("{host} answers {status} to a request for {what}{}{}", said(detail), when(*again))]
    Status {
        /// The requested thing.
        what: String,
        /// Host that the request went to.
        host: String,
        /// The HTTP status.
        status: u16,
        /// Message of the registry.
        detail: String,
        /// Time after which the registry allows another request, if it gave one.
        again: Option<Duration>,
    },
    /// The registry needs credentials, or refuses those of the user.
    #[error("{host} refuses {repository} {}{}", who(*authenticated), said(detail))]
    Denied {
        /// The registry.
        host: String,
        /// The repository.
        repository: String,
        /// True when the user has credentials for it.
        authenticated: bool,
        /// Message of the registry.
        detail: String,
    },
    /// The registry has no such image.
    #[error("{host} has no image {reference}{}", said(detail))]
    NotFound {
        /// The registry.
        host: String,
        /// The requested image.
        reference: String,
        /// Message of the registry.
        detail: String,
    },
    /// The registry has the image, but a part of it is gone.
    #[error(
        "{host} has image {reference}, but not its {part}{}: it is damaged there, and has to be pushed again",
        said(detail)
    )]
    MissingPart {
        /// The registry.
        host: String,
        /// The requested image.
        reference: String,
        /// The missing part: a layer, or a manifest of its index, by digest.
        part: String,
        /// Message of the registry.
        detail: String,
    },
    /// No image of the index fits the platform, or none can be chosen.
    #[error("cannot use {reference}")]
    Choice {
        /// The image.
        reference: String,
        /// Cause.
        #[source]
        source: ChoiceError,
    },
    /// A repository names a host with an address that is not public.
    #[error("a repository may not use {host}: it has no public address")]
    Near {
        /// The refused host.
        host: String,
    },
    /// A document of the registry is malformed.
    #[error("cannot use {reference}")]
    Document {
        /// The image.
        reference: String,
        /// Cause.
        #[source]
        source: DocumentError,
    },
    /// An answer is larger than its limit.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The document.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A blob is longer or shorter than the manifest says.
    #[error("{digest} has {found} bytes, its manifest says {announced}")]
    Size {
        /// The blob.
        digest: Digest,
        /// Size that was received or announced by the server, in bytes.
        found: u64,
        /// Size in the manifest, in bytes.
        announced: u64,
    },
    /// The blob arrives too slowly.
    #[error("{host} sends {what} too slowly")]
    TooSlow {
        /// The requested thing.
        what: String,
        /// Host that the request went to.
        host: String,
    },
    /// The received bytes have another digest.
    #[error("{what} is not what it should be: its digest is {found}")]
    Digest {
        /// The requested thing.
        what: String,
        /// Digest of the received bytes.
        found: Digest,
    },
    /// The registry redirects to an address that is refused.
    #[error("{host} redirects {what} {why}")]
    Redirect {
        /// The requested thing.
        what: String,
        /// Host that redirects.
        host: String,
        /// Reason for the refusal.
        why: String,
    },
    /// The registry requires an authentication that is not supported or that fails.
    #[error("cannot authenticate to {host}: {why}")]
    Challenge {
        /// The registry.
        host: String,
        /// Cause.
        why: String,
    },
    /// The user's credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The user's certificates for it cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The TLS handshake failed over a certificate: the registry's is not trusted, or it refuses the client's.
    #[error("the certificate of {host} is not trusted: {why}")]
    Untrusted {
        /// Host that the request went to.
        host: String,
        /// The problem with the certificate.
        why: String,
    },
}

/// Reason why the user's certificates for a registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file is not the PEM certificate or key that its name promises.
    #[error("{} is no certificate or key in PEM", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Error of the parser.
        #[source]
        source: reqwest::Error,
    },
    /// A file without any certificate.
    #[error("{} has no certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A client's certificate without its key.
    #[error("{} has no key beside it, {}", path.display(), path.with_extension("key").display())]
    NoKey {
        /// The certificate.
        path: PathBuf,
    },
    /// A folder with too many files.
    #[error("{} has more than {limit} files", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
}

/// Reason why the user's credentials cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be read.
    #[error("cannot read credentials from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file is broken.
    #[error("cannot read credentials from {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Error of the parser.
        #[source]
        source: serde_json::Error,
    },
    /// An entry is not a valid credential.
    #[error("the credentials of {registry} in {} are not base64 of user:password", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        registry: String,
    },
    /// A credential helper fails.
    #[error("credential helper {helper}, which {} names, {why}", path.display())]
    Helper {
        /// The program.
        helper: String,
        /// The file that names it.
        path: PathBuf,
        /// Server that the helper was asked about.
        server: String,
        /// The problem, as the end of the sentence.
        why: String,
    },
}

impl RegistryError {
    pub(crate) fn cache(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Cache {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Time after which the other side allows the same request again, if it gave one.
    pub(crate) fn again(&self) -> Option<Duration> {
        match self {
            Self::Status { again, .. } => *again,
            _ => None,
        }
    }

    /// Tells whether a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // Errors of the builder are mistakes in the request (a malformed URL); all others may be temporary.
            Self::Transfer { source, .. } => !source.is_builder(),
            Self::TooSlow { .. } => true,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            _ => false,
        }
    }
}

/// Text of a wait: ` (try again in 6 hours)`.
fn when(again: Option<Duration>) -> String {
    let Some(again) = again else {
        return String::new();
    };
    // Rounded up, so that the retry is never too early.
    let seconds = again.as_secs().max(1);
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds.div_ceil(60), "minute"),
        7200..172_800 => (seconds.div_ceil(3600), "hour"),
        _ => (seconds.div_ceil(86_400), "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!(" (try again in {count} {unit}{plural})")
}

fn said(detail: &str) -> String {
    match detail {
        "" => String::new(),
        detail => format!(": {detail}"),
    }
}

fn who(authenticated: bool) -> &'static str {
    match authenticated {
        true => "to this user: the credentials are wrong, or do not allow it",
        false => "without credentials, or there is no such repository",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_wants_a_pause_says_for_how_long() {
        for (seconds, told) in [
            (0, " (try again in 1 second)"),
            (90, " (try again in 90 seconds)"),
            (150, " (try again in 3 minutes)"),
            (21_600, " (try again in 6 hours)"),
            (200_000, " (try again in 3 days)"),
        ] {
            assert_eq!(when(Some(Duration::from_secs(seconds))), told);
        }
        assert_eq!(when(None), "");
    }
}
