//! Calls about kernels.

use banger_api::kernel::{ImportKernel, Kernel};
use banger_api::routes::{self, fill};
use banger_api::vm::Accepted;
use hyper::Method;

use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// All kernels.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn kernels(&self) -> Result<Vec<Kernel>, ClientError> {
        self.get(routes::KERNELS).answer().await
    }

    /// One kernel.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn kernel(&self, reference: &str) -> Result<Kernel, ClientError> {
        self.get(fill(routes::KERNEL, reference)).answer().await
    }

    /// Imports a kernel.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn import_kernel(&self, import: &ImportKernel) -> Result<Accepted, ClientError> {
        self.post(routes::KERNELS_IMPORT)
            .json(import)?
            .answer()
            .await
    }

    /// Deletes a kernel that no VM uses.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn delete_kernel(&self, reference: &str) -> Result<Accepted, ClientError> {
        self.call(Method::DELETE, fill(routes::KERNEL, reference))
            .answer()
            .await
    }
}
