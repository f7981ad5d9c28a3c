//! The way from a tag or a digest to one manifest: indexes are followed to the wanted platform.

use banger_oci::artifact::Kind;
use banger_oci::choice::{Candidate, Choice, ChoiceError, choose};
use banger_oci::manifest::{self, Descriptor, Document, MAX_JSON, Manifest};
use banger_oci::{Digest, Platform};

use crate::body::whole;
use crate::cache::Cache;
use crate::error::RegistryError;
use crate::http::Ask;
use crate::retry::Retry;
use crate::session::Session;

/// Deepest nesting of indexes.
const MAX_DEPTH: usize = 4;
/// Accepted media types.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Header in which a registry gives the digest of a manifest.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// The chosen manifest, with its digest.
pub(crate) struct Chosen {
    /// The index that led to it; the outermost one if there are several.
    pub(crate) index: Option<Digest>,
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
}

/// Finds the manifest for `platform` below `name` (a tag, or `digest` as text). Documents on the way stay in the cache.
pub(crate) async fn resolve(
    session: &Session,
    cache: &Cache,
    name: &str,
    digest: Option<Digest>,
    platform: &Platform,
) -> Result<Chosen, RegistryError> {
    let mut expected = digest.map(|digest| (digest, None));
    let mut name = name.to_owned();
    let mut index = None;
    for _ in 0..MAX_DEPTH {
        let (digest, bytes) = document(session, cache, &name, expected).await?;
        match parsed(session, &bytes)? {
            Document::Manifest(manifest) => {
                if let Some(kind) = manifest.artifact() {
                    return Err(not_chosen(session, ChoiceError::NoImage { kind }));
                }
                return Ok(Chosen {
                    index,
                    digest,
                    manifest: *manifest,
                });
            }
            Document::Index(list) => {
                index.get_or_insert(digest);
                let chosen = chosen(session, cache, &list, platform).await?;
                expected = Some((chosen.digest, Some(chosen.size)));
                name = chosen.digest.to_string();
            }
        }
    }
    Err(not_chosen(session, ChoiceError::Nothing))
}

/// Chooses an image of an index. An entry without a platform is fetched and read if the choice depends on it.
async fn chosen<'d>(
    session: &Session,
    cache: &Cache,
    list: &'d [Descriptor],
    platform: &Platform,
) -> Result<&'d Descriptor, RegistryError> {
    let mut candidates: Vec<Candidate> = list.iter().map(Candidate::from).collect();
    loop {
        let choice = choose(&candidates, None, platform).map_err(|why| not_chosen(session, why))?;
        match choice {
            Choice::Found(at) => return Ok(&list[at]),
            Choice::Look(at) => {
                let Descriptor { digest, size, .. } = list[at];
                let expected = Some((digest, Some(size)));
                let (_, bytes) = document(session, cache, &digest.to_string(), expected).await?;
                let kind = parsed(session, &bytes)?.kind();
                candidates[at].kind = Some(kind.unwrap_or(Kind::Image));
            }
        }
    }
}

fn parsed(session: &Session, bytes: &[u8]) -> Result<Document, RegistryError> {
    manifest::parse(bytes).map_err(|source| RegistryError::Document {
        reference: session.reference.clone(),
        source,
    })
}

fn not_chosen(session: &Session, source: ChoiceError) -> RegistryError {
    RegistryError::Choice {
        reference: session.reference.clone(),
        source,
    }
}

/// Gets one document, verified if its digest is known; from the cache if it is there.
async fn document(
    session: &Session,
    cache: &Cache,
    name: &str,
    expected: Option<(Digest, Option<u64>)>,
) -> Result<(Digest, Vec<u8>), RegistryError> {
    if let Some((digest, _)) = expected
        && let Some(bytes) = cache.document(digest)
    {
        return Ok((digest, bytes));
    }
    let mut retry = Retry::new(&session.patience);
    let (said, bytes) = loop {
        match fetch(session, name).await {
            Ok(fetched) => break fetched,
            Err(error) => retry.pause(error).await?,
        }
    };
    let found = Digest::of(&bytes);
    let differs = |what: String| RegistryError::Digest { what, found };
    match (expected, said) {
        (Some((digest, _)), _) if digest != found => return Err(differs(digest.to_string())),
        (Some((digest, Some(size))), _) if size != bytes.len() as u64 => {
            return Err(RegistryError::Size {
                digest,
                found: bytes.len() as u64,
                announced: size,
            });
        }
        (None, Some(said)) if said != found => {
            return Err(differs(format!(
                "the manifest {said} of {}",
                session.reference
            )));
        }
        _ => {}
    }
    cache.keep(found, &bytes)?;
    Ok((found, bytes))
}

/// Requests a manifest. Returns the digest that the registry gives for it, and its bytes.
async fn fetch(session: &Session, name: &str) -> Result<(Option<Digest>, Vec<u8>), RegistryError> {
    const WHAT: &str = "the manifest";
    let asking = Ask {
        what: WHAT,
        accept: Some(ACCEPT),
        from: None,
    };
    let (url, response) = session.get(&format!("manifests/{name}"), &asking).await?;
    let said = response
        .headers()
        .get(CONTENT_DIGEST)
        .and_then(|value| value.to_str().ok())
        // A digest of another algorithm is ignored; the stored document gets a SHA-256 digest.
        .and_then(|text| text.parse().ok());
    let deadline = session.patience.document;
    Ok((said, whole(response, &url, WHAT, MAX_JSON, deadline).await?))
}
