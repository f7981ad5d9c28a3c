//! Container images that are pulled: where they come from, and what is said when they do not.

use std::ffi::OsString;
use std::path::PathBuf;

use banger_api::pull::{PullImage, PullSource};
use banger_api::{ApiError, ErrorCode};
use banger_control::{Fetch, Fetched, Running};
use banger_oci::choice::ChoiceError;
use banger_oci::{Platform, Reference};
use banger_ops::{ContainerAt, Events as _};
use banger_registry::{
    Cache, CertificateFolders, CredentialError, CredentialFiles, Reach, RegistryError, Request,
    fetch,
};

use super::fetching::Fetching;
use crate::failure;
use crate::host::{choice_hint, of_local_image, open_container, platform_of};
use crate::paths::Paths;

/// One pull, all of it checked.
pub(super) struct Pull {
    from: From,
    reference: String,
    platform: Platform,
    /// Directory of fetched images.
    cache: PathBuf,
    /// Directory in which a file without a name may be made.
    scratch: PathBuf,
}

enum From {
    Registry {
        reference: Reference,
        plain_http: bool,
        reach: Reach,
        credentials: CredentialFiles,
    },
    Path {
        path: PathBuf,
        tag: Option<String>,
    },
}

fn invalid(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, error.to_string())
}

impl Pull {
    /// Checks a request.
    ///
    /// # Errors
    /// `invalid_argument`.
    pub(super) fn of(request: &PullImage, paths: &Paths) -> Result<Self, ApiError> {
        let platform = platform_of(request.platform.as_deref())?;
        let (from, reference) = match request.source.clone() {
            PullSource::Registry {
                reference,
                plain_http,
                auth_files,
                helper_path,
                public_only,
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
                    reach: match public_only {
                        true => Reach::Public,
                        false => Reach::Anywhere,
                    },
                    credentials: credentials.helpers_on(helper_path.map(OsString::from)),
                };
                (from, shown)
            }
            PullSource::Path { path, tag, called } => {
                let from = From::Path {
                    path: path.clone().into(),
                    tag,
                };
                (from, called.unwrap_or(path))
            }
        };
        Ok(Self {
            from,
            reference,
            platform,
            cache: paths.oci_cache(),
            scratch: paths.places().parents().staging.clone(),
        })
    }

    fn cache(&self) -> Result<Cache, ApiError> {
        Cache::open(&self.cache).map_err(|error| self.failed(&error))
    }
}

impl Fetch for Pull {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn hold(&self, op: &Running) -> Result<Box<dyn Send>, ApiError> {
        let held = self.cache()?.hold(&|| op.cancelled().is_cancelled());
        Ok(Box::new(held.map_err(|error| self.failed(&error))?))
    }

    fn fetch(&self, known: Option<&str>, op: &Running) -> Result<Fetched, ApiError> {
        match &self.from {
            From::Registry {
                reference,
                plain_http,
                reach,
                credentials,
            } => {
                let mut request = Request::new(reference, &self.platform, credentials);
                request.plain_http = *plain_http;
                request.reach = *reach;
                request.certificates =
                    CertificateFolders::of_environment(&|name| std::env::var_os(name));
                request.known = known.and_then(|digest| digest.parse().ok());
                op.stage("fetch_layers", reference.registry());
                let watch = Fetching::new(op);
                let fetched =
                    fetch(&request, &self.cache()?, &watch).map_err(|error| self.failed(&error))?;
                watch.done();
                Ok(Fetched {
                    at: ContainerAt::Cache(fetched.manifest.to_string()),
                    index: fetched.index.map(|index| index.to_string()),
                })
            }
            From::Path { path, tag } => Ok(Fetched {
                at: ContainerAt::Path {
                    path: path.clone(),
                    tag: tag.clone(),
                },
                index: None,
            }),
        }
    }

    fn manifest(&self, at: &ContainerAt) -> Result<String, ApiError> {
        match at {
            ContainerAt::Cache(digest) => Ok(digest.clone()),
            // Only a compressed archive needs room in the scratch directory.
            ContainerAt::Path { .. } => {
                let reference = &self.reference;
                let image =
                    open_container(&self.cache, at, reference, &self.platform, &self.scratch)
                        .map_err(|error| of_local_image(&error))?;
                Ok(image.digests().manifest.to_string())
            }
        }
    }
}

impl Pull {
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
            RegistryError::Choice { source, .. } => not_chosen(source, message),
            RegistryError::Near { .. } => {
                let reference = &self.reference;
                ApiError::new(ErrorCode::InvalidArgument, message).hint(format!(
                    "pull it yourself when you trust it: banger image pull {reference}"
                ))
            }
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
            RegistryError::Transfer { source, .. } if source.is_connect() => {
                ApiError::new(ErrorCode::RegistryFailed, message).hint(
                    "check this host's network and name server; behind a proxy, set HTTPS_PROXY and restart the daemon: banger \
                     daemon stop",
                )
            }
            _ => ApiError::new(ErrorCode::RegistryFailed, message),
        }
    }
}

/// Explains why none of several images is the one, with the way to choose another.
fn not_chosen(why: &ChoiceError, message: String) -> ApiError {
    let code = match why {
        ChoiceError::NoPlatform { .. } | ChoiceError::NoName { .. } => ErrorCode::NotFound,
        _ => ErrorCode::InvalidArgument,
    };
    let told = ApiError::new(code, message);
    match why {
        ChoiceError::Several { .. } => {
            told.hint("choose one of these by its digest: banger image pull REPOSITORY@sha256:…")
        }
        why => choice_hint(why, told),
    }
}
