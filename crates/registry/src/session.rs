//! Requests to one registry for one repository, authenticated as it asks.
//!
//! ```text
//! get ──► 2xx ─────────────────────────────► the answer
//!     └─► 401 + challenge ─► token or basic ─► once more ─► 401: denied
//! ```

use std::time::Duration;

use banger_oci::Reference;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::Mutex;

use crate::body::complaint;
use crate::certificates::HostCertificates;
use crate::challenge::Challenge;
use crate::credentials::Credentials;
use crate::endpoint::{Endpoint, Transport};
use crate::error::RegistryError;
use crate::http::{Ask, Patience, ask, client, distrust, host_of};
use crate::token::Wanted;

/// How long a registry on this machine may take to say whether it speaks TLS.
const PROBE: Duration = Duration::from_secs(2);

/// A repository of a registry.
pub(crate) struct Session {
    client: Client,
    endpoint: Endpoint,
    pub(crate) patience: Patience,
    /// What the user asked for, for messages.
    pub(crate) reference: String,
    repository: String,
    tls: bool,
    credentials: Option<Credentials>,
    authorization: Mutex<Authorization>,
}

#[derive(Debug, Clone, Default)]
struct Authorization {
    header: Option<HeaderValue>,
    /// Counts renewals, so that of several who find it expired only one renews it.
    generation: u64,
}

impl Session {
    /// Finds out how the registry is spoken to. Nothing is asked of one that is not on this machine.
    pub(crate) async fn open(
        reference: &Reference,
        plain_http: bool,
        credentials: Option<Credentials>,
        certificates: HostCertificates,
        patience: Patience,
    ) -> Result<Self, RegistryError> {
        let endpoint = Endpoint::of(reference, plain_http);
        let client = client(&endpoint, certificates, &patience)?;
        let tls = match endpoint.transport {
            Transport::Tls => true,
            Transport::Plain => false,
            // No connection, or no TLS on it: what is asked next says which.
            Transport::Loopback => {
                let probe = client
                    .get(endpoint.url(true, ""))
                    .timeout(PROBE)
                    .send()
                    .await;
                match probe {
                    Ok(_) => true,
                    // It speaks TLS, and not to us: in the clear it would only say that.
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

    /// Asks for `kind/name` of the repository (`manifests/latest`, `blobs/sha256:…`). The answer is 200, 206 or 416.
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
        // The first answer says how to authenticate; the token that this gets may have expired when it is used.
        for renewed in [false, false, true] {
            let used = self.authorization.lock().await.clone();
            let (url, response) = ask(
                &self.client,
                &self.endpoint,
                start.clone(),
                used.header.as_ref(),
                asking,
            )
            .await?;
            let asked_to_authenticate =
                response.status() == StatusCode::UNAUTHORIZED && url.origin() == start.origin();
            if !asked_to_authenticate || renewed {
                return self.judged(url, response, asking).await;
            }
            self.authenticate(used.generation, response).await?;
        }
        Err(self.denied(String::new()))
    }

    async fn judged(
        &self,
        url: Url,
        response: Response,
        asking: &Ask<'_>,
    ) -> Result<(Url, Response), RegistryError> {
        let status = response.status().as_u16();
        if matches!(status, 200 | 206 | 416) {
            return Ok((url, response));
        }
        let detail = complaint(response, self.patience.document).await;
        Err(match status {
            401 | 403 => self.denied(detail),
            404 => RegistryError::NotFound {
                host: self.endpoint.name.clone(),
                reference: self.reference.clone(),
                detail,
            },
            status => RegistryError::Status {
                what: asking.what.to_owned(),
                host: host_of(&url),
                status,
                detail,
            },
        })
    }

    /// Gets what the registry asks for, unless somebody has meanwhile.
    async fn authenticate(&self, generation: u64, response: Response) -> Result<(), RegistryError> {
        let mut current = self.authorization.lock().await;
        if current.generation != generation {
            return Ok(());
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
        let header = match chosen {
            Some(Challenge::Bearer { realm, service, .. }) => {
                self.wanted().get(realm, service.as_deref()).await?
            }
            Some(Challenge::Basic) => match (&self.credentials, &current.header) {
                (Some(Credentials::Password { user, password }), None) => basic(user, password),
                // None to give, or they were not accepted.
                _ => return Err(self.denied(complaint(response, self.patience.document).await)),
            },
            None => {
                return Err(RegistryError::Challenge {
                    host: self.endpoint.name.clone(),
                    why: "it asks for neither a password nor a token".to_owned(),
                });
            }
        };
        *current = Authorization {
            header: Some(header),
            generation: generation + 1,
        };
        Ok(())
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            client: &self.client,
            endpoint: &self.endpoint,
            patience: &self.patience,
            repository: &self.repository,
            credentials: self.credentials.as_ref(),
        }
    }

    fn denied(&self, detail: String) -> RegistryError {
        RegistryError::Denied {
            host: self.endpoint.name.clone(),
            repository: self.repository.clone(),
            authenticated: self.credentials.is_some(),
            detail,
        }
    }
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    // Base64 has no character that a header may not have.
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}
