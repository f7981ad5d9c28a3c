//! Requests to one registry for one repository, with the authentication that it demands.
//!
//! ```text
//! get ──► 2xx ─────────────────────────────► the answer
//!     └─► 401 + challenge ─► token or basic ─► once more ─► 401: denied
//! ```
//! A registry may redirect to another host with a challenge of its own: that host gets an anonymous token, and
//! never the user's credentials.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use banger_oci::Reference;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::Mutex;

use crate::address::Reach;
use crate::body::complaint;
use crate::certificates::HostCertificates;
use crate::challenge::Challenge;
use crate::endpoint::{Endpoint, Transport};
use crate::error::RegistryError;
use crate::http::{Ask, Patience, ask, client, distrust, host_of};
use crate::retry_after::retry_after;
use crate::secret::Credentials;
use crate::token::Wanted;

/// Longest wait for a registry on this machine to show that it speaks TLS.
const PROBE: Duration = Duration::from_secs(2);

/// A repository of a registry.
pub(crate) struct Session {
    client: Client,
    endpoint: Endpoint,
    pub(crate) patience: Patience,
    /// Image as the user named it, for messages.
    pub(crate) reference: String,
    repository: String,
    tls: bool,
    credentials: Option<Credentials>,
    authorization: Mutex<Authorizations>,
}

/// Authorization for each host, by its origin.
type Authorizations = HashMap<String, Authorization>;

#[derive(Debug, Clone, Default)]
struct Authorization {
    header: Option<HeaderValue>,
    /// Number of renewals: of several requests that find it expired, only one renews it.
    generation: u64,
}

/// Hosts of one image that may demand a token, at most.
const MAX_HOSTS: usize = 16;
/// Tries of one request: every host on its way demands authentication, and a token may expire in between.
const TRIES: usize = 5;

impl Session {
    /// Finds out the protocol of the registry. Only a registry on this machine is probed for it.
    pub(crate) async fn open(
        reference: &Reference,
        plain_http: bool,
        credentials: Option<Credentials>,
        certificates: HostCertificates,
        patience: Patience,
        reach: Reach,
    ) -> Result<Self, RegistryError> {
        let endpoint = Endpoint::of(reference, plain_http, reach);
        if reach == Reach::Public && endpoint.transport == Transport::Loopback {
            return Err(RegistryError::Near {
                host: endpoint.name,
            });
        }
        let client = client(&endpoint, certificates, &patience, reach)?;
        let tls = match endpoint.transport {
            Transport::Tls => true,
            Transport::Plain => false,
            // No connection, or no TLS on it: the next request shows which.
            Transport::Loopback => {
                let probe = client
                    .get(endpoint.url(true, ""))
                    .timeout(PROBE)
                    .send()
                    .await;
                match probe {
                    Ok(_) => true,
                    // It speaks TLS and the handshake failed over a certificate: plain HTTP would fail as well.
                    Err(error) => match distrust(&error) {
                        Some(why) => {
                            let host = endpoint.name;
                            return Err(RegistryError::Untrusted { host, why });
                        }
                        None => false,
                    },
                }
            }
        };
        Ok(Self {
            client,
            endpoint,
            patience,
            reference: reference.to_string(),
            repository: reference.repository().to_owned(),
            tls,
            credentials,
            authorization: Mutex::default(),
        })
    }

    /// Requests `kind/name` of the repository (`manifests/latest`, `blobs/sha256:…`). The answer is 200, 206 or 416.
    pub(crate) async fn get(
        &self,
        path: &str,
        asking: &Ask<'_>,
    ) -> Result<(Url, Response), RegistryError> {
        let text = self
            .endpoint
            .url(self.tls, &format!("{}/{path}", self.repository));
        let start = Url::parse(&text).map_err(|error| RegistryError::Challenge {
            host: self.endpoint.name.clone(),
            why: format!("its address is none: {error}"),
        })?;
        // The first answer of each host gives its challenge; a token may expire before it is used.
        let mut refusals: Vec<String> = Vec::new();
        for _ in 0..TRIES {
            let used = self.authorization.lock().await.clone();
            let own = |url: &Url| used.get(&origin(url))?.header.clone();
            let (url, response) =
                ask(&self.client, &self.endpoint, start.clone(), &own, asking).await?;
            let host = origin(&url);
            if response.status() != StatusCode::UNAUTHORIZED {
                return self.judged(path, url, response, asking).await;
            }
            let known = used.get(&host).cloned().unwrap_or_default();
            // A new token was refused: another one would be refused as well.
            if refusals.iter().filter(|other| **other == host).count() >= 2 {
                return self.judged(path, url, response, asking).await;
            }
            refusals.push(host);
            let is_own = url.origin() == start.origin();
            self.authenticate(&url, is_own, known.generation, response)
                .await?;
        }
        Err(self.denied(String::new(), true))
    }

    async fn judged(
        &self,
        path: &str,
        url: Url,
        response: Response,
        asking: &Ask<'_>,
    ) -> Result<(Url, Response), RegistryError> {
        let status = response.status().as_u16();
        if matches!(status, 200 | 206 | 416) {
            return Ok((url, response));
        }
        let again = retry_after(response.headers(), SystemTime::now());
        let detail = complaint(response, self.patience.document).await;
        Err(match status {
            401 | 403 => self.denied(detail, true),
            404 => self.missing(path, detail),
            status => RegistryError::Status {
                what: asking.what.to_owned(),
                host: host_of(&url),
                status,
                detail,
                again,
            },
        })
    }

    /// The error for a missing image, or for a missing part of it.
    fn missing(&self, path: &str, detail: String) -> RegistryError {
        let (host, reference) = (self.endpoint.name.clone(), self.reference.clone());
        let part = match path.split_once('/') {
            Some(("blobs", digest)) => Some(format!("blob {digest}")),
            // A manifest of its index; the image itself when the user gave its digest.
            Some(("manifests", name)) if name.contains(':') && !reference.ends_with(name) => {
                Some(format!("manifest {name}"))
            }
            _ => None,
        };
        match part {
            Some(part) => RegistryError::MissingPart {
                host,
                reference,
                part,
                detail,
            },
            None => RegistryError::NotFound {
                host,
                reference,
                detail,
            },
        }
    }

    /// Gets the authorization that the host of `url` demands, unless another request did so meanwhile. The user's
    /// credentials go to the registry's own host only.
    async fn authenticate(
        &self,
        url: &Url,
        is_own: bool,
        generation: u64,
        response: Response,
    ) -> Result<(), RegistryError> {
        let mut all = self.authorization.lock().await;
        let host = origin(url);
        let current = all.get(&host).cloned().unwrap_or_default();
        if current.generation != generation {
            return Ok(());
        }
        if all.len() >= MAX_HOSTS && !all.contains_key(&host) {
            return Err(RegistryError::Challenge {
                host: host_of(url),
                why: format!("more than {MAX_HOSTS} hosts want a token for this image"),
            });
        }
        let challenges: Vec<Challenge> = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(Challenge::parse)
            .collect();
        let is_bearer = |challenge: &&Challenge| matches!(challenge, Challenge::Bearer { .. });
        let chosen = challenges.iter().find(is_bearer).or(challenges.first());
        let credentials = self.credentials.as_ref().filter(|_| is_own);
        let header = match chosen {
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                let wanted = Wanted {
                    client: &self.client,
                    endpoint: &self.endpoint,
                    patience: &self.patience,
                    repository: &self.repository,
                    credentials,
                };
                wanted
                    .get(realm, service.as_deref(), scope.as_deref())
                    .await?
            }
            Some(Challenge::Basic) => match (credentials, &current.header) {
                (Some(Credentials::Password { user, password }), None) => basic(user, password),
                // No credentials, or they were refused.
                _ => {
                    let detail = complaint(response, self.patience.document).await;
                    return Err(self.denied(detail, is_own));
                }
            },
            None => {
                return Err(RegistryError::Challenge {
                    host: host_of(url),
                    why: "it asks for neither a password nor a token".to_owned(),
                });
            }
        };
        let authorization = Authorization {
            header: Some(header),
            generation: generation + 1,
        };
        all.insert(host, authorization);
        Ok(())
    }

    /// Builds the error of a refusal. `is_own` is true when the user's credentials belong to the host.
    fn denied(&self, detail: String, is_own: bool) -> RegistryError {
        RegistryError::Denied {
            host: self.endpoint.name.clone(),
            repository: self.repository.clone(),
            authenticated: is_own && self.credentials.is_some(),
            detail,
        }
    }
}

/// Scheme, host and port.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    // Base64 has only characters that are valid in a header.
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}
