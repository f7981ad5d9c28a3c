//! Pulling images: from a registry into the cache, then from there, or from a file of this host, into an image.
//!
//! ```text
//! registry ─► fetch_layers (cache only: a kill leaves nothing else) ─┐
//! path ──────────────────────────────────────────────────────────────┴─► plan "make" ─► plan "publish"
//! ```
//! The name is locked from the beginning: of two pulls of one image the second finds what the first has made. An image that
//! was made of the same reference gives its name to what the reference means now.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use banger_api::pull::{PullImage, PullSource};
use banger_api::vm::Accepted;
use banger_api::{ApiError, ErrorCode, ImageName};
use banger_image::ImageMetadata;
use banger_oci::{Platform, Reference};
use banger_ops::{ContainerAt, Events as _, ImageSource, SeedWish};
use banger_registry::{
    Cache, CertificateFolders, CredentialError, CredentialFiles, RegistryError, Request, fetch,
};
use banger_store::image;

use super::fetching::Fetching;
use super::images::{Naming, existing, make, seed_wish};
use crate::context::Daemon;
use crate::failure;
use crate::host::{open_container, platform_of};
use crate::operations::Running;

/// What is to be pulled, all of it checked.
struct Pull {
    name: ImageName,
    from: From,
    /// What it is called from then on.
    reference: String,
    platform: Option<String>,
    seed: SeedWish,
    /// It takes the name from whatever has it.
    replace: bool,
}

/// An image that has the name already.
enum Present {
    /// Of the same reference, with this manifest.
    Same(String),
    /// Of another reference, and it shall go.
    Other,
}

enum From {
    Registry {
        reference: Reference,
        plain_http: bool,
        credentials: CredentialFiles,
    },
    Path {
        path: PathBuf,
        tag: Option<String>,
    },
}

/// Makes an image of a container image.
///
/// # Errors
/// `invalid_argument` for what names no image, or a path that is not there; `name_taken` by an image of another reference.
pub(crate) fn pull_image(daemon: &Daemon, request: PullImage) -> Result<Accepted, ApiError> {
    let pull = Pull::of(request)?;
    let task = daemon.clone();
    let running = daemon
        .operations
        .spawn("pull_image", None, move |op| pull.run(&task, op))?;
    Ok(running.accepted(None))
}

fn invalid(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, error.to_string())
}

impl Pull {
    fn of(request: PullImage) -> Result<Self, ApiError> {
        let name = request.image_name().map_err(|error| {
            invalid(&error).hint("give the image a name of its own: --name NAME")
        })?;
        platform_of(request.platform.as_deref())?;
        let seed = seed_wish(request.work_seed, request.seed_size)?;
        let (from, reference) = match request.source {
            PullSource::Registry {
                reference,
                plain_http,
                auth_files,
                helper_path,
            } => {
                let reference: Reference = reference.parse().map_err(|error| invalid(&error))?;
                let shown = reference.to_string();
                let credentials = match auth_files {
                    Some(files) => {
                        CredentialFiles::new(files.into_iter().map(PathBuf::from).collect())
                    }
                    None => CredentialFiles::of_environment(&|name| std::env::var_os(name)),
                };
                let from = From::Registry {
                    reference,
                    plain_http,
                    credentials: credentials.helpers_on(helper_path.map(OsString::from)),
                };
                (from, shown)
            }
            PullSource::Path { path, tag } => {
                let from = From::Path {
                    path: existing("image", &path)?,
                    tag,
                };
                (from, path)
            }
        };
        Ok(Self {
            name,
            from,
            reference,
            platform: request.platform,
            seed,
            replace: request.replace,
        })
    }

    fn run(self, daemon: &Daemon, op: &Arc<Running>) -> Result<(), ApiError> {
        let _making = daemon
            .locks
            .name(&format!("image:{}", self.name), &op.cancel)?;
        let platform = platform_of(self.platform.as_deref())?;
        // A name that another image has is said at once, not after a gigabyte.
        let present = self.present(daemon)?;
        let cancelled = || op.cancel.is_cancelled();
        let cache = Cache::open(&daemon.paths.oci_cache()).map_err(|error| self.failed(&error))?;
        // Until the image is made, nobody takes from the cache what it is made of.
        let _hold = cache
            .hold(&cancelled)
            .map_err(|error| self.failed(&error))?;
        let (at, index) = match &self.from {
            From::Registry {
                reference,
                plain_http,
                credentials,
            } => {
                let mut request = Request::new(reference, &platform, credentials);
                request.plain_http = *plain_http;
                request.certificates =
                    CertificateFolders::of_environment(&|name| std::env::var_os(name));
                request.known = match &present {
                    Some(Present::Same(digest)) => digest.parse().ok(),
                    _ => None,
                };
                op.stage("fetch_layers", reference.registry());
                let watch = Fetching::new(op);
                let fetched =
                    fetch(&request, &cache, &watch).map_err(|error| self.failed(&error))?;
                watch.done();
                let index = fetched.index.map(|index| index.to_string());
                (ContainerAt::Cache(fetched.manifest.to_string()), index)
            }
            From::Path { path, tag } => {
                let (path, tag) = (path.clone(), tag.clone());
                (ContainerAt::Path { path, tag }, None)
            }
        };
        if let Some(Present::Same(digest)) = &present
            && self.is_still(daemon, digest, &at, &platform)?
        {
            op.up_to_date();
            return Ok(());
        }
        let source = ImageSource::Container {
            at,
            reference: self.reference,
            index,
            platform: self.platform,
            seed: self.seed,
        };
        make(daemon, op, self.name, source, Naming::Replaces).map(|_record| ())
    }

    /// The image that has the name.
    fn present(&self, daemon: &Daemon) -> Result<Option<Present>, ApiError> {
        let Some(record) = daemon.read(|db| image::by_name(db, self.name.as_str()))? else {
            return Ok(None);
        };
        let folder = daemon.paths.images().join(&record.digest);
        let provenance = ImageMetadata::read(&folder)
            .map_err(|error| failure::of_disk(&error))?
            .provenance;
        match provenance {
            Some(known) if known.reference == self.reference => {
                Ok(Some(Present::Same(known.digest)))
            }
            _ if self.replace => Ok(Some(Present::Other)),
            _ => Err(self.taken(&format!("by another image ({})", record.source))),
        }
    }

    /// An image of this reference is there, with the manifest `present`: whether that is the very one.
    fn is_still(
        &self,
        daemon: &Daemon,
        present: &str,
        at: &ContainerAt,
        platform: &Platform,
    ) -> Result<bool, ApiError> {
        let digest = match at {
            ContainerAt::Cache(digest) => digest.clone(),
            ContainerAt::Path { .. } => {
                // Only a compressed archive needs room there, in a file without a name.
                let scratch = daemon.paths.staging();
                open_container(&daemon.paths.oci_cache(), at, platform, &scratch)
                    .map_err(|error| failure::of_input(&error))?
                    .digests()
                    .manifest
                    .to_string()
            }
        };
        let (same, name) = (digest == present, &self.name);
        if same && self.seed != SeedWish::default() {
            if self.replace {
                return Ok(false);
            }
            let message = format!("image \"{name}\" is up to date, with a work seed of its own");
            return Err(ApiError::new(ErrorCode::NameTaken, message).hint(format!(
                "give it another one: banger image reseed {name} --from …"
            )));
        }
        Ok(same)
    }

    fn taken(&self, why: &str) -> ApiError {
        let name = &self.name;
        ApiError::new(
            ErrorCode::NameTaken,
            format!("image name \"{name}\" is taken {why}"),
        )
        .hint("pull it under another name (--name), or let it take this one (--replace)")
    }

    fn failed(&self, error: &RegistryError) -> ApiError {
        let message = failure::chain(error);
        let registry = match &self.from {
            From::Registry { reference, .. } => reference.registry(),
            From::Path { .. } => "",
        };
        match error {
            RegistryError::Cancelled => ApiError::new(ErrorCode::Cancelled, "cancelled"),
            RegistryError::Cache { .. } | RegistryError::Client { .. } => failure::of_disk(error),
            RegistryError::NotFound { .. } => ApiError::new(ErrorCode::NotFound, message),
            RegistryError::NoPlatform { .. } => ApiError::new(ErrorCode::NotFound, message)
                .hint("choose one of these: --platform OS/ARCHITECTURE"),
            RegistryError::Denied { .. } => ApiError::new(ErrorCode::InvalidArgument, message)
                .hint(format!(
                    "check the name, or log in first: podman login {registry} (or docker login)"
                )),
            RegistryError::Credentials(CredentialError::Helper { helper, server, .. }) => {
                ApiError::new(ErrorCode::InvalidArgument, message).hint(format!(
                    "see what it says (echo {server} | {helper} get), or log in without it: podman login {registry}"
                ))
            }
            RegistryError::Credentials(_) | RegistryError::Certificates(_) => {
                ApiError::new(ErrorCode::InvalidArgument, message)
            }
            RegistryError::Untrusted { host, .. } => {
                ApiError::new(ErrorCode::RegistryFailed, message).hint(format!(
                    "put the certificate of its authority into ~/.config/containers/certs.d/{host}/ca.crt (client.cert \
                     and client.key there are shown to it), or into the host's own certificates"
                ))
            }
            _ => ApiError::new(ErrorCode::RegistryFailed, message),
        }
    }
}
