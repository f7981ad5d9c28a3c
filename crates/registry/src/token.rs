//! Tokens: short-lived permissions that a service of the registry hands out.

use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use crate::body::{complaint, whole};
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::RegistryError;
use crate::http::{Patience, host_of, transfer};

/// Largest answer of a token service, in bytes.
const MAX_TOKEN: u64 = 256 << 10;
/// What identity tokens are redeemed by.
const CLIENT_ID: &str = "banger";

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// What is asked of a token service.
pub(crate) struct Wanted<'a> {
    pub(crate) client: &'a Client,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) patience: &'a Patience,
    pub(crate) repository: &'a str,
    pub(crate) credentials: Option<&'a Credentials>,
}

impl Wanted<'_> {
    /// Gets a token as the value of an `Authorization` header.
    pub(crate) async fn get(
        &self,
        realm: &str,
        service: Option<&str>,
    ) -> Result<HeaderValue, RegistryError> {
        let url = self.realm(realm)?;
        let scope = format!("repository:{}:pull", self.repository);
        let request = self.request(&url, service, &scope);
        let response = request
            .send()
            .await
            .map_err(|source| transfer("a token", &url, source))?;
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
                    detail: complaint(response, self.patience.document).await,
                });
            }
        }
        let bytes = whole(response, &url, "a token", MAX_TOKEN, self.patience.document).await?;
        // What the parser says could quote the token.
        let answer = serde_json::from_slice::<Answer>(&bytes).ok();
        answer
            .and_then(|answer| answer.token.or(answer.access_token))
            .filter(|token| !token.is_empty())
            .and_then(|token| bearer(&token))
            .ok_or_else(|| self.refused("its token service answers without a token".to_owned()))
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

    /// An identity token is redeemed by POST; all else is asked for by GET.
    fn request(&self, url: &Url, service: Option<&str>, scope: &str) -> RequestBuilder {
        let mut fields = vec![("scope", scope)];
        fields.extend(service.map(|service| ("service", service)));
        match self.credentials {
            Some(Credentials::Identity(token)) => {
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
            credentials => {
                let mut asked = url.clone();
                asked.query_pairs_mut().extend_pairs(fields);
                let request = self.client.get(asked);
                match credentials {
                    Some(Credentials::Password { user, password }) => {
                        request.basic_auth(user, Some(password))
                    }
                    _ => request,
                }
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
