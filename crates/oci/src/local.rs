//! Images that are on this machine already: OCI layouts, archives of them, and what `docker save` writes.
//!
//! ```text
//!  folder ──┐                ┌─ index.json ─► index ─► manifest ─┐
//!  archive ─┴─► BlobStore ───┤   (OCI)         by tag, platform   ├─► configuration, layers ─► tree
//!                            └─ manifest.json (docker save) ──────┘
//! ```

mod error;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use banger_disk::tree::Tree;
use serde::Deserialize;

use crate::archive::{Limits, tree_from_archive};
use crate::blobs::{BlobError, BlobStore};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::layers::merge;
use crate::manifest::{
    self, Descriptor, Document, DocumentError, MAX_LAYERS, MAX_MANIFESTS, Manifest, Platform, names,
};
use crate::unpacking::{StoredLayer, UnpackProgress, unpack_all};

pub use error::LocalImageError;

/// Deepest nesting of indexes that is followed.
const MAX_DEPTH: usize = 4;

/// An image on this machine, chosen and its configuration verified.
#[derive(Debug)]
pub struct LocalImage {
    path: PathBuf,
    config: ImageConfig,
    ids: ImageDigests,
    layers: Vec<StoredLayer>,
}

/// What an image is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageDigests {
    /// Of its manifest, or of its configuration where there is no manifest: equal digests, equal images.
    pub manifest: Digest,
    /// Of its configuration: what container engines call its id.
    pub config: Digest,
    /// Of the index that led to the manifest, where one did; the outermost of several.
    pub index: Option<Digest>,
}

impl LocalImage {
    /// Opens the image at `path`: a folder with an OCI layout, or an archive, compressed or not (then unpacked into a
    /// file without a name in `scratch`). `name` chooses by tag where there are several images, `platform` by platform.
    ///
    /// # Errors
    /// When there is no such image, or it is broken.
    pub fn open(
        path: &Path,
        name: Option<&str>,
        platform: &Platform,
        scratch: &Path,
    ) -> Result<Self, LocalImageError> {
        let metadata = std::fs::metadata(path).map_err(|source| LocalImageError::Open {
            path: path.to_owned(),
            source,
        })?;
        let store = if metadata.is_dir() {
            BlobStore::Folder(path.to_owned())
        } else {
            let go_on = &mut |_| ControlFlow::Continue(());
            BlobStore::Archive(Box::new(tree_from_archive(
                path,
                scratch,
                Limits::default(),
                go_on,
            )?))
        };
        let opening = Opening { path, store };
        match opening.optional_document("index.json")? {
            Some(index) => opening.layout(&index, name, platform),
            None => match opening.optional_document("manifest.json")? {
                Some(list) => opening.docker_save(&list, name),
                None => Err(LocalImageError::NoImage {
                    path: path.to_owned(),
                }),
            },
        }
    }

    /// Opens the image whose manifest has `digest` in the layout at `path`, which need not have an index: a cache.
    ///
    /// # Errors
    /// When there is no such manifest, or it is broken.
    pub fn open_manifest(path: &Path, digest: Digest) -> Result<Self, LocalImageError> {
        let store = BlobStore::Folder(path.to_owned());
        let opening = Opening { path, store };
        let bytes = opening.blob(opening.store.verified(digest))?;
        match opening.parsed(manifest::parse(&bytes))? {
            Document::Manifest(manifest) => opening.image((digest, None), &manifest),
            Document::Index(list) => Err(opening.not_found("with that manifest", &list)),
        }
    }

    /// How it is started, and what it is made for.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// What it is known by.
    pub fn digests(&self) -> ImageDigests {
        self.ids
    }

    /// Digests of its layers as they are stored, with their sizes in bytes; lowest first.
    pub fn stored_layers(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.layers.iter().map(|layer| {
            let size = layer.blob.range.end - layer.blob.range.start;
            layer.stored.unwrap_or((layer.diff_id, size))
        })
    }

    /// Its files: all layers verified, unpacked beside where the image will lie (`scratch`), and merged.
    ///
    /// # Errors
    /// When a layer is not what its digest says, is broken, or holds an impossible entry.
    pub fn tree(
        &self,
        scratch: &Path,
        limits: Limits,
        progress: &mut dyn FnMut(UnpackProgress) -> ControlFlow<()>,
    ) -> Result<Tree, LocalImageError> {
        let layers = unpack_all(&self.layers, scratch, limits, progress).map_err(|source| {
            LocalImageError::Unpack {
                path: self.path.clone(),
                source: Box::new(source),
            }
        })?;
        merge(&layers, limits).map_err(|source| LocalImageError::Layers {
            path: self.path.clone(),
            source,
        })
    }
}

struct Opening<'p> {
    path: &'p Path,
    store: BlobStore,
}

impl Opening<'_> {
    fn blob<T>(&self, result: Result<T, BlobError>) -> Result<T, LocalImageError> {
        result.map_err(|source| LocalImageError::Blob {
            path: self.path.to_owned(),
            source,
        })
    }

    fn parsed<T>(&self, result: Result<T, DocumentError>) -> Result<T, LocalImageError> {
        result.map_err(|source| LocalImageError::Document {
            path: self.path.to_owned(),
            source,
        })
    }

    fn optional_document(&self, name: &str) -> Result<Option<Vec<u8>>, LocalImageError> {
        match self.store.file(name) {
            Err(BlobError::Missing { .. }) => Ok(None),
            found => self.blob(found.and_then(|blob| blob.document())).map(Some),
        }
    }

    fn layout(
        self,
        index: &[u8],
        name: Option<&str>,
        platform: &Platform,
    ) -> Result<LocalImage, LocalImageError> {
        let mut wanted = name;
        let mut document = self.parsed(manifest::parse(index))?;
        let mut digest = Digest::of(index);
        let mut way = None;
        for _ in 0..MAX_DEPTH {
            match document {
                Document::Manifest(manifest) => return self.image((digest, way), &manifest),
                Document::Index(list) => {
                    let chosen = self.choose(&list, wanted, platform)?;
                    // A tag chooses in the outermost index; below it only platforms differ.
                    wanted = None;
                    let bytes = self.blob(self.store.document(chosen.digest, chosen.size))?;
                    document = self.parsed(manifest::parse(&bytes))?;
                    digest = chosen.digest;
                    // The layout's own list names images; an index below it is a part of one.
                    if matches!(document, Document::Index(_)) {
                        way.get_or_insert(digest);
                    }
                }
            }
        }
        Err(self.not_found("within four levels of indexes", &[]))
    }

    fn choose<'d>(
        &self,
        list: &'d [Descriptor],
        name: Option<&str>,
        platform: &Platform,
    ) -> Result<&'d Descriptor, LocalImageError> {
        let named = |descriptor: &&Descriptor| match name {
            Some(name) => descriptor
                .ref_name
                .as_deref()
                .is_some_and(|known| known == name || known.ends_with(&format!(":{name}"))),
            None => true,
        };
        let fitting = |descriptor: &&Descriptor| {
            descriptor
                .platform
                .as_ref()
                .is_none_or(|p| platform.runs(p))
        };
        let candidates: Vec<&Descriptor> = list.iter().filter(named).filter(fitting).collect();
        match candidates[..] {
            [] => {
                let wanted = match name {
                    Some(name) => {
                        format!("\"{name}\" for {}/{}", platform.os, platform.architecture)
                    }
                    None => format!("for {}/{}", platform.os, platform.architecture),
                };
                Err(self.not_found(&wanted, list))
            }
            [only] => Ok(only),
            // The same image under several tags.
            [first, ..] if candidates.iter().all(|other| other.digest == first.digest) => Ok(first),
            // Variants of one platform: the first is what registries mean.
            [first, ..] if candidates.iter().all(|other| other.platform.is_some()) => Ok(first),
            _ => Err(LocalImageError::Several {
                path: self.path.to_owned(),
                has: names(list),
            }),
        }
    }

    fn not_found(&self, wanted: &str, list: &[Descriptor]) -> LocalImageError {
        LocalImageError::NotFound {
            path: self.path.to_owned(),
            wanted: wanted.to_owned(),
            has: names(list),
        }
    }

    fn image(
        self,
        (digest, index): (Digest, Option<Digest>),
        manifest: &Manifest,
    ) -> Result<LocalImage, LocalImageError> {
        let bytes = self.blob(
            self.store
                .document(manifest.config.digest, manifest.config.size),
        )?;
        let config = self.parsed(ImageConfig::parse(&bytes))?;
        let mut blobs = Vec::with_capacity(manifest.layers.len());
        for layer in &manifest.layers {
            let blob = self.blob(self.store.blob(layer.digest))?;
            blobs.push((blob, Some((layer.digest, layer.size))));
        }
        let ids = ImageDigests {
            manifest: digest,
            config: manifest.config.digest,
            index,
        };
        self.finish(ids, config, blobs)
    }

    fn finish(
        self,
        ids: ImageDigests,
        config: ImageConfig,
        blobs: Vec<(crate::blobs::Blob, Option<(Digest, u64)>)>,
    ) -> Result<LocalImage, LocalImageError> {
        if blobs.len() != config.diff_ids.len() {
            return Err(LocalImageError::LayerCount {
                path: self.path.to_owned(),
                layers: blobs.len(),
                diff_ids: config.diff_ids.len(),
            });
        }
        let layers = blobs
            .into_iter()
            .zip(&config.diff_ids)
            .map(|((blob, stored), &diff_id)| StoredLayer {
                blob,
                stored,
                diff_id,
            })
            .collect();
        Ok(LocalImage {
            path: self.path.to_owned(),
            config,
            ids,
            layers,
        })
    }

    fn docker_save(self, list: &[u8], name: Option<&str>) -> Result<LocalImage, LocalImageError> {
        let json = |source| DocumentError::Json {
            what: "manifest.json",
            source,
        };
        let saved: Vec<Saved> = self.parsed(serde_json::from_slice(list).map_err(json))?;
        let too_many = |of, count, limit| {
            self.parsed(Err(DocumentError::TooMany {
                what: "manifest.json",
                of,
                count,
                limit,
            }))
        };
        if saved.len() > MAX_MANIFESTS {
            return too_many("images", saved.len(), MAX_MANIFESTS);
        }
        let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
        let has = saved.iter().flat_map(tags).collect::<Vec<_>>().join(", ");
        let meant = |image: &&Saved| match name {
            Some(name) => tags(image)
                .iter()
                .any(|tag| tag == name || tag.ends_with(&format!(":{name}"))),
            None => true,
        };
        let candidates: Vec<&Saved> = saved.iter().filter(meant).collect();
        let image = match candidates[..] {
            [only] => only,
            [] => {
                return Err(LocalImageError::NotFound {
                    path: self.path.to_owned(),
                    wanted: format!("\"{}\"", name.unwrap_or_default()),
                    has,
                });
            }
            _ => {
                return Err(LocalImageError::Several {
                    path: self.path.to_owned(),
                    has,
                });
            }
        };
        if image.layers.len() > MAX_LAYERS {
            return too_many("layers", image.layers.len(), MAX_LAYERS);
        }
        let config = self.blob(
            self.store
                .file(&image.config)
                .and_then(|blob| blob.document()),
        )?;
        let digest = Digest::of(&config);
        let config = self.parsed(ImageConfig::parse(&config))?;
        let mut blobs = Vec::with_capacity(image.layers.len());
        for layer in &image.layers {
            blobs.push((self.blob(self.store.file(layer))?, None));
        }
        let ids = ImageDigests {
            manifest: digest,
            config: digest,
            index: None,
        };
        self.finish(ids, config, blobs)
    }
}

/// One image of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}
