//! Calls about images.

use banger_api::image::{
    BuildImage, Image, PrunedCache, PrunedImages, RegisterImage, RenameImage, ReseedImage, SaveVm,
};
use banger_api::pull::PullImage;
use banger_api::routes::{self, fill};
use banger_api::vm::{Accepted, Prune};
use hyper::Method;

use crate::bytestream::ByteStream;
use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// All images.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn images(&self) -> Result<Vec<Image>, ClientError> {
        self.get(routes::IMAGES).answer().await
    }

    /// One image.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn image(&self, reference: &str) -> Result<Image, ClientError> {
        self.get(fill(routes::IMAGE, reference)).answer().await
    }

    /// Builds an image from a recipe.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn build_image(&self, build: &BuildImage) -> Result<Accepted, ClientError> {
        self.post(routes::IMAGES_BUILD).json(build)?.answer().await
    }

    /// Makes an image of a container image.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn pull_image(&self, pull: &PullImage) -> Result<Accepted, ClientError> {
        self.post(routes::IMAGES_PULL).json(pull)?.answer().await
    }

    /// Makes an image from a root file system on the daemon's host.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn register_image(&self, register: &RegisterImage) -> Result<Accepted, ClientError> {
        self.post(routes::IMAGES_REGISTER)
            .json(register)?
            .answer()
            .await
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn rename_image(
        &self,
        reference: &str,
        rename: &RenameImage,
    ) -> Result<Accepted, ClientError> {
        self.call(Method::PATCH, fill(routes::IMAGE, reference))
            .json(rename)?
            .answer()
            .await
    }

    /// An image as an OCI archive, byte by byte. It arrives whole, or the last read fails.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn export_image(&self, reference: &str) -> Result<ByteStream, ClientError> {
        let path = fill(routes::IMAGE_EXPORT, reference);
        Ok(ByteStream::new(self.get(path).patient_stream().await?))
    }

    /// Makes an image of a VM that does not run.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn save_vm(&self, reference: &str, save: &SaveVm) -> Result<Accepted, ClientError> {
        self.post(fill(routes::VM_SAVE, reference))
            .json(save)?
            .answer()
            .await
    }

    /// Gives an image another work seed.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn reseed_image(
        &self,
        reference: &str,
        reseed: &ReseedImage,
    ) -> Result<Accepted, ClientError> {
        self.post(fill(routes::IMAGE_RESEED, reference))
            .json(reseed)?
            .answer()
            .await
    }

    /// Removes images that no VM uses.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn prune_images(&self, prune: &Prune) -> Result<PrunedImages, ClientError> {
        self.post(routes::IMAGES_PRUNE).json(prune)?.answer().await
    }

    /// Removes the cache of pulled layers.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn prune_image_cache(&self, prune: &Prune) -> Result<PrunedCache, ClientError> {
        self.post(routes::IMAGE_CACHE_PRUNE)
            .json(prune)?
            .answer()
            .await
    }

    /// Deletes an image that no VM uses.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn delete_image(&self, reference: &str) -> Result<Accepted, ClientError> {
        self.call(Method::DELETE, fill(routes::IMAGE, reference))
            .answer()
            .await
    }
}
