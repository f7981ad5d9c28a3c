//! One image: its manifest, then its configuration and layers, several at a time.

use std::collections::HashSet;

use banger_oci::manifest::{MAX_JSON, Manifest};
use banger_oci::{Digest, Platform, Reference};
use futures::StreamExt as _;
use futures::stream;

use crate::address::Reach;
use crate::blob::{self, Wanted};
use crate::cache::{Cache, LOCK_TICK};
use crate::certificates::CertificateFolders;
use crate::credentials::CredentialFiles;
use crate::error::RegistryError;
use crate::http::Patience;
use crate::manifests;
use crate::session::Session;
use crate::watch::Watch;

/// Blobs that are fetched at the same time.
const PARALLEL: usize = 4;
/// Bytes of all stored layers of an image together, at most.
const MAX_IMAGE: u64 = 64 << 30;

/// A wanted image, and the way to its registry.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The image.
    pub reference: &'a Reference,
    /// Platform that the image must run on.
    pub platform: &'a Platform,
    /// True to use plain HTTP even when the registry is not at loopback.
    pub plain_http: bool,
    /// Addresses that may be connected to on the way.
    pub reach: Reach,
    /// Places of the user's credentials.
    pub credentials: &'a CredentialFiles,
    /// Places of the user's certificates.
    pub certificates: CertificateFolders,
    /// Manifest of the image that the caller already has: if it is still the right one, only the manifest is fetched.
    pub known: Option<Digest>,
    pub(crate) patience: Patience,
}

impl<'a> Request<'a> {
    /// A request for the image for this platform, over TLS (or plain HTTP at loopback), with these credentials.
    pub fn new(
        reference: &'a Reference,
        platform: &'a Platform,
        credentials: &'a CredentialFiles,
    ) -> Self {
        Self {
            reference,
            platform,
            plain_http: false,
            reach: Reach::default(),
            credentials,
            certificates: CertificateFolders::default(),
            known: None,
            patience: Patience::default(),
        }
    }

    /// Shortens every wait to some hundred milliseconds: for tests against registries that misbehave.
    #[doc(hidden)]
    #[must_use]
    pub fn impatient(mut self) -> Self {
        use std::time::Duration;
        self.patience = Patience {
            connect: Duration::from_secs(5),
            silence: Duration::from_millis(400),
            document: Duration::from_secs(2),
            crawl: Duration::from_millis(600),
            pause: Duration::from_millis(20),
            helper: Duration::from_secs(3),
        };
        self
    }
}

/// An image that is in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Digest of the index that led to it, if one did.
    pub index: Option<Digest>,
    /// Stored bytes of its layers together.
    pub bytes: u64,
}

/// Fetches an image into the cache. Blocks until the fetch has ended.
///
/// # Errors
/// [`RegistryError`]; `Cancelled` soon after the watch asks to stop. Received bytes stay in the cache, verified or as
/// parts from which the next fetch continues.
pub fn fetch(
    request: &Request<'_>,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<Fetched, RegistryError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RegistryError::Client {
            source: source.into(),
        })?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = image(request, cache, watch) => result,
            () = cancelled(watch) => Err(RegistryError::Cancelled),
        }
    });
    // A running sync of a file ends by itself.
    runtime.shutdown_background();
    result
}

async fn cancelled(watch: &dyn Watch) {
    while !watch.is_cancelled() {
        tokio::time::sleep(LOCK_TICK).await;
    }
}

async fn image(
    request: &Request<'_>,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<Fetched, RegistryError> {
    let reference = request.reference;
    let found = request
        .credentials
        .find(reference, request.patience.helper)
        .await?;
    for missing in &found.missing {
        watch.warn(&format!(
            "credential helper {missing}: going on without credentials"
        ));
    }
    let certificates = request.certificates.of(reference.registry())?;
    let session = Session::open(
        reference,
        request.plain_http,
        found.credentials,
        certificates,
        request.patience,
        request.reach,
    )
    .await?;
    let name = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or(banger_oci::reference::DEFAULT_TAG).to_owned(),
    };
    let chosen =
        manifests::resolve(&session, cache, &name, reference.digest(), request.platform).await?;
    let (mut blobs, bytes) = wanted(&chosen.manifest)?;
    if request.known == Some(chosen.digest) {
        blobs.clear();
    }
    let layers: Vec<(Digest, u64)> = chosen
        .manifest
        .layers
        .iter()
        .map(|layer| (layer.digest, layer.size))
        .collect();
    watch.layers(&layers);
    let mut fetching = stream::iter(blobs)
        .map(|wanted| blob::fetch(&session, cache, wanted, watch))
        .buffer_unordered(PARALLEL);
    while let Some(result) = fetching.next().await {
        result?;
    }
    Ok(Fetched {
        manifest: chosen.digest,
        index: chosen.index,
        bytes,
    })
}

/// The distinct blobs of a manifest, and the bytes of its layers.
fn wanted(manifest: &Manifest) -> Result<(Vec<Wanted>, u64), RegistryError> {
    if manifest.config.size > MAX_JSON {
        return Err(RegistryError::TooLarge {
            what: "the configuration".to_owned(),
            limit: MAX_JSON,
        });
    }
    let mut seen = HashSet::new();
    let (mut blobs, mut bytes) = (Vec::new(), 0_u64);
    for (index, blob) in std::iter::once(&manifest.config)
        .chain(&manifest.layers)
        .enumerate()
    {
        if seen.insert(blob.digest) {
            blobs.push(Wanted {
                digest: blob.digest,
                size: blob.size,
            });
            if index > 0 {
                bytes = bytes.saturating_add(blob.size);
            }
        }
    }
    match bytes <= MAX_IMAGE {
        true => Ok((blobs, bytes)),
        false => Err(RegistryError::TooLarge {
            what: "the image, its layers together,".to_owned(),
            limit: MAX_IMAGE,
        }),
    }
}
