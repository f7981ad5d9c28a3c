//! Calls about secrets.

use banger_api::routes;
use banger_api::secret::Secret;
use hyper::Method;

use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// All secrets, without their values.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn secrets(&self) -> Result<Vec<Secret>, ClientError> {
        self.get(routes::SECRETS).answer().await
    }

    /// Keeps a secret.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn set_secret(&self, name: &str, value: Vec<u8>) -> Result<Secret, ClientError> {
        let path = format!("{}/{name}", routes::SECRETS);
        self.call(Method::PUT, path).bytes(value).answer().await
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn delete_secret(&self, name: &str) -> Result<Secret, ClientError> {
        let path = format!("{}/{name}", routes::SECRETS);
        self.call(Method::DELETE, path).answer().await
    }
}
