//! What can go wrong with a registry, as fragments that a caller composes with their sources.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_oci::Digest;
use banger_oci::choice::ChoiceError;
use banger_oci::manifest::DocumentError;

/// Why an image cannot be had from a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A file of the cache cannot be used.
    #[error("cannot {action} {}", path.display())]
    Cache {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// No client can be made: the host's certificates cannot be read, for example.
    #[error("cannot set up connections to registries")]
    Client {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry does not answer, or stopped in the middle.
    #[error("cannot fetch {what} from {host}")]
    Transfer {
        /// What was asked for.
        what: String,
        /// Who was asked.
        host: String,
        /// Why, as the client says.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is none of those that the protocol has.
    #[error("{host} answers {status} to a request for {what}{}{}", said(detail), when(*again))]
    Status {
        /// What was asked for.
        what: String,
        /// Who was asked.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What the registry says about it.
        detail: String,
        /// When it may be asked again, as it says.
        again: Option<Duration>,
    },
    /// It wants credentials, or other ones.
    #[error("{host} refuses {repository} {}{}", who(*authenticated), said(detail))]
    Denied {
        /// The registry.
        host: String,
        /// The repository.
        repository: String,
        /// Whether the user has credentials for it.
        authenticated: bool,
        /// What the registry says about it.
        detail: String,
    },
    /// There is no such image.
    #[error("{host} has no image {reference}{}", said(detail))]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        reference: String,
        /// What the registry says about it.
        detail: String,
    },
    /// There is the image, and a part of it is gone.
    #[error(
        "{host} has image {reference}, but not its {part}{}: it is damaged there, and has to be pushed again",
        said(detail)
    )]
    MissingPart {
        /// The registry.
        host: String,
        /// What was asked for.
        reference: String,
        /// What is missing: a layer, or a manifest of its index, by digest.
        part: String,
        /// What the registry says about it.
        detail: String,
    },
    /// None of its images is meant, or there is none.
    #[error("cannot use {reference}")]
    Choice {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: ChoiceError,
    },
    /// A repository has asked for it, and it is this host's, or its network's.
    #[error("{host} is not for a repository to ask: it has no public address")]
    Near {
        /// Who would have been asked.
        host: String,
    },
    /// A document of the registry is broken.
    #[error("cannot use {reference}")]
    Document {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: DocumentError,
    },
    /// Something is larger than is read.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A blob is longer or shorter than the manifest says.
    #[error("{digest} has {found} bytes, its manifest says {announced}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What came, or was about to come.
        found: u64,
        /// What was announced.
        announced: u64,
    },
    /// It comes so slowly that it may never end.
    #[error("{host} sends {what} too slowly")]
    TooSlow {
        /// What was asked for.
        what: String,
        /// Who was asked.
        host: String,
    },
    /// What came is not what was asked for.
    #[error("{what} is not what it should be: its digest is {found}")]
    Digest {
        /// What was asked for.
        what: String,
        /// What came.
        found: Digest,
    },
    /// The registry sends us elsewhere, where we do not go.
    #[error("{host} redirects {what} {why}")]
    Redirect {
        /// What was asked for.
        what: String,
        /// Who redirects.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// It wants an authentication that cannot be done.
    #[error("cannot authenticate to {host}: {why}")]
    Challenge {
        /// The registry.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// The user's credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The user's certificates for it cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// Its certificate is not one that this host trusts.
    #[error("the certificate of {host} is not trusted: {why}")]
    Untrusted {
        /// Who was asked.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Why the user's certificates for a registry cannot be used.
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
    /// A file is not PEM of what its name says.
    #[error("{} is no certificate or key in PEM", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the parser said.
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
    /// A folder with more than anybody needs.
    #[error("{} has more than {limit} files", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
}

/// Why the user's credentials cannot be read.
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
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// An entry is no credential.
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
        /// What it was asked for.
        server: String,
        /// What is wrong.
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

    /// When the same may be asked again, as the other side has said.
    pub(crate) fn again(&self) -> Option<Duration> {
        match self {
            Self::Status { again, .. } => *again,
            _ => None,
        }
    }

    /// Whether the same may go well a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // The client's own mistakes (a URL that is none) are builder errors; all else may pass.
            Self::Transfer { source, .. } => !source.is_builder(),
            Self::TooSlow { .. } => true,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            _ => false,
        }
    }
}

/// ` (try again in 6 hours)`
fn when(again: Option<Duration>) -> String {
    let Some(again) = again else {
        return String::new();
    };
    // Rounded up: never too early.
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
