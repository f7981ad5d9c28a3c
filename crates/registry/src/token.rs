//! Tokens: short-lived permissions that a service of the registry hands out.

use std::time::SystemTime;

use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::body::{complaint, whole};
use crate::endpoint::Endpoint;
use crate::error::RegistryError;
use crate::http::{MAX_REDIRECTS, Patience, host_of, is_redirect, target, transfer};
use crate::retry_after::retry_after;
use crate::secret::Credentials;

/// Largest answer of a token service, in bytes.
const MAX_TOKEN: u64 = 256 << 10;
/// Client name that is sent to redeem an identity token.
const CLIENT_ID: &str = "banger";

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// A request to a token service.
pub(crate) struct Wanted<'a> {
    pub(crate) client: &'a Client,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) patience: &'a Patience,
    pub(crate) repository: &'a str,
    pub(crate) credentials: Option<&'a Credentials>,
}

impl Wanted<'_> {
    /// Gets a token as the value of an `Authorization` header. The registry's own `scope` is used if it gives one:
    /// behind a registry that rewrites names, the scope derived from the repository's name could be wrong.
    pub(crate) async fn get(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<HeaderValue, RegistryError> {
        let url = self.realm(realm)?;
        let own = format!("repository:{}:pull", self.repository);
        let scope = scope
            .filter(|scope| !scope.trim().is_empty())
            .unwrap_or(&own);
        let (url, response) = self.ask(url, service, scope).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                return Err(RegistryError::Denied {
                    host: self.endpoint.name.clone(),
                    repository: self.repository.to_owned(),
                    authenticated: self.credentials.is_some(),
                    detail: complaint(response, self.patience.document).await,
                });
            }
            status => {
                return Err(RegistryError::Status {
                    what: "a token".to_owned(),
                    host: host_of(&url),
                    status: status.as_u16(),
                    again: retry_after(response.headers(), SystemTime::now()),
                    detail: complaint(response, self.patience.document).await,
                });
            }
        }
        let bytes = whole(response, &url, "a token", MAX_TOKEN, self.patience.document).await?;
        // The parser's message could quote the token.
        let answer = serde_json::from_slice::<Answer>(&bytes).ok();
        answer
            .and_then(|answer| answer.token.or(answer.access_token))
            .filter(|token| !token.is_empty())
            .and_then(|token| bearer(&token))
            .ok_or_else(|| self.refused("its token service answers without a token".to_owned()))
    }

    /// Sends the request and follows redirects. The user's secrets go only to the service that the registry names.
    async fn ask(
        &self,
        start: Url,
        service: Option<&str>,
        scope: &str,
    ) -> Result<(Url, Response), RegistryError> {
        let is_identity = matches!(self.credentials, Some(Credentials::Identity(_)));
        let mut url = start.clone();
        for hop in 0..=MAX_REDIRECTS {
            self.endpoint.check(&url)?;
            let request = match hop {
                0 => self.request(&url, service, scope),
                // The query is already part of the redirect's address.
                _ => self.with_password(self.client.get(url.clone()), &url, &start),
            };
            let response = request
                .send()
                .await
                .map_err(|source| transfer("a token", &url, source))?;
            if !is_redirect(response.status()) {
                return Ok((url, response));
            }
            if is_identity {
                return Err(self.refused(
                    "its token service sends us elsewhere with an identity token, which is for it alone".to_owned(),
                ));
            }
            url = target(self.endpoint, &url, &response, "a token")?;
        }
        Err(self.refused(format!(
            "its token service redirects more than {MAX_REDIRECTS} times"
        )))
    }

    fn with_password(&self, request: RequestBuilder, url: &Url, start: &Url) -> RequestBuilder {
        match self.credentials {
            Some(Credentials::Password { user, password }) if url.origin() == start.origin() => {
                request.basic_auth(user, Some(password))
            }
            _ => request,
        }
    }

    fn realm(&self, realm: &str) -> Result<Url, RegistryError> {
        let shown = || {
            realm
                .chars()
                .take(200)
                .collect::<String>()
                .escape_debug()
                .to_string()
        };
        let url = Url::parse(realm)
            .map_err(|error| self.refused(format!("its token service \"{}\": {error}", shown())))?;
        if self.endpoint.allows(&url) {
            return Ok(url);
        }
        Err(self.refused(format!(
            "its token service \"{}\" is not encrypted",
            shown()
        )))
    }

    /// Builds the request: POST to redeem an identity token, else GET.
    fn request(&self, url: &Url, service: Option<&str>, scope: &str) -> RequestBuilder {
        let mut fields: Vec<_> = scope.split_whitespace().map(|one| ("scope", one)).collect();
        fields.extend(service.map(|service| ("service", service)));
        match self.credentials {
            Some(Credentials::Identity(token)) => {
                // A form has one scope field (RFC 6749, section 3.3).
                fields.retain(|(name, _)| *name != "scope");
                fields.push(("scope", scope));
                fields.push(("grant_type", "refresh_token"));
                fields.push(("refresh_token", token));
                fields.push(("client_id", CLIENT_ID));
                let mut form = url.clone();
                form.query_pairs_mut().clear().extend_pairs(fields);
                self.client
                    .post(url.clone())
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .body(form.query().unwrap_or_default().to_owned())
            }
            _ => {
                let mut asked = url.clone();
                asked.query_pairs_mut().extend_pairs(fields);
                self.with_password(self.client.get(asked), url, url)
            }
        }
    }

    fn refused(&self, why: String) -> RegistryError {
        RegistryError::Challenge {
            host: self.endpoint.name.clone(),
            why,
        }
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
