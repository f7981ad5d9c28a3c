//! The client: TLS with the host's certificates, no redirects of its own, and an end to every wait.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use rustls::AlertDescription;
use rustls::crypto::ring;

use crate::address::{NotPublic, PublicOnly, Reach};
use crate::certificates::HostCertificates;
use crate::endpoint::{Endpoint, Transport};
use crate::error::RegistryError;
use crate::helper;

/// Most redirects that are followed for one request.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// Time limits of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// To connect, TLS included.
    pub(crate) connect: Duration,
    /// Between two reads of an answer.
    pub(crate) silence: Duration,
    /// To receive a whole document.
    pub(crate) document: Duration,
    /// Period in which a blob must grow by at least [`Patience::LEAST`] bytes.
    pub(crate) crawl: Duration,
    /// First pause before a retry; each further one is twice as long.
    pub(crate) pause: Duration,
    /// To run a credential helper.
    pub(crate) helper: Duration,
}

impl Patience {
    /// Least growth of a blob in each [`Patience::crawl`], in bytes.
    pub(crate) const LEAST: u64 = 64 << 10;
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            document: Duration::from_secs(60),
            crawl: Duration::from_secs(60),
            pause: Duration::from_millis(250),
            helper: helper::DEADLINE,
        }
    }
}

/// A request of this client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask<'a> {
    /// Name of the requested thing in messages.
    pub(crate) what: &'a str,
    /// Accepted media types.
    pub(crate) accept: Option<&'static str>,
    /// First byte, for a request of a range.
    pub(crate) from: Option<u64>,
}

pub(crate) fn client(
    endpoint: &Endpoint,
    certificates: HostCertificates,
    patience: &Patience,
    reach: Reach,
) -> Result<Client, RegistryError> {
    // The first provider that a process installs stays; every caller here installs the same one.
    let _ = ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(patience.connect)
        .read_timeout(patience.silence);
    if endpoint.transport == Transport::Loopback {
        // A server on this machine is not reached through a proxy.
        builder = builder.no_proxy();
    }
    if reach == Reach::Public {
        let var = |name: &str| std::env::var(name).ok();
        builder = builder.dns_resolver(Arc::new(PublicOnly::of_environment(&var)));
    }
    let builder = certificates.apply(builder);
    builder.build().map_err(|source| RegistryError::Client {
        source: source.into(),
    })
}

/// The problem with the server's certificate or with the client's, when it is the cause of the error.
pub(crate) fn distrust(error: &reqwest::Error) -> Option<String> {
    among_causes(error, |cause| match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => Some(why.to_string()),
        Some(rustls::Error::AlertReceived(alert)) if is_about_ours(*alert) => Some(format!(
            "it refuses the client certificate, or requires one ({alert:?})"
        )),
        _ => None,
    })
}

fn among_causes<T>(
    error: &reqwest::Error,
    find: impl Fn(&(dyn std::error::Error + 'static)) -> Option<T>,
) -> Option<T> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = find(error) {
            return Some(found);
        }
        // The inner error of an `io::Error` is not in its chain of sources.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Tells whether the server complains about the client's certificate (RFC 8446, section 6.2).
fn is_about_ours(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

pub(crate) fn transfer(what: &str, url: &Url, source: reqwest::Error) -> RegistryError {
    if let Some(why) = distrust(&source) {
        let host = host_of(url);
        return RegistryError::Untrusted { host, why };
    }
    let not_public =
        |cause: &(dyn std::error::Error + 'static)| cause.is::<NotPublic>().then_some(());
    if among_causes(&source, not_public).is_some() {
        return RegistryError::Near { host: host_of(url) };
    }
    RegistryError::Transfer {
        what: what.to_owned(),
        host: host_of(url),
        // Addresses of redirects have secrets in their queries.
        source: source.without_url(),
    }
}

pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Sends a request, follows redirects, and returns the final address. `authorization` gives the header for each host.
pub(crate) async fn ask(
    client: &Client,
    endpoint: &Endpoint,
    start: Url,
    authorization: &(dyn Fn(&Url) -> Option<HeaderValue> + Sync),
    ask: &Ask<'_>,
) -> Result<(Url, Response), RegistryError> {
    let mut url = start.clone();
    for _ in 0..=MAX_REDIRECTS {
        endpoint.check(&url)?;
        let mut request = client.get(url.clone());
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(from) = ask.from {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(value) = authorization(&url) {
            request = request.header(AUTHORIZATION, value);
        }
        let response = request
            .send()
            .await
            .map_err(|source| transfer(ask.what, &url, source))?;
        if !is_redirect(response.status()) {
            return Ok((url, response));
        }
        url = target(endpoint, &url, &response, ask.what)?;
    }
    Err(RegistryError::Redirect {
        what: ask.what.to_owned(),
        host: host_of(&start),
        why: format!("more than {MAX_REDIRECTS} times"),
    })
}

pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

pub(crate) fn target(
    endpoint: &Endpoint,
    url: &Url,
    response: &Response,
    what: &str,
) -> Result<Url, RegistryError> {
    let refused = |why: String| RegistryError::Redirect {
        what: what.to_owned(),
        host: host_of(url),
        why,
    };
    let location = response.headers().get(LOCATION);
    let target = location
        .and_then(|value| value.to_str().ok())
        .and_then(|text| url.join(text).ok())
        .ok_or_else(|| refused("without saying where to".to_owned()))?;
    if !endpoint.allows(&target) {
        return Err(refused(format!(
            "to {}://{}, which is not encrypted",
            target.scheme(),
            host_of(&target)
        )));
    }
    Ok(target)
}
