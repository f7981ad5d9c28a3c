//! Calls about templates.

use banger_api::routes;
use banger_api::template::{PrunedTemplates, Template};
use banger_api::vm::Prune;

use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// All templates, the last used first.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn templates(&self) -> Result<Vec<Template>, ClientError> {
        self.get(routes::TEMPLATES).answer().await
    }

    /// Removes all templates.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn prune_templates(&self, prune: &Prune) -> Result<PrunedTemplates, ClientError> {
        self.post(routes::TEMPLATES_PRUNE)
            .json(prune)?
            .answer()
            .await
    }
}
