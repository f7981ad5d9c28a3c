//! Images that are on this machine already: OCI layouts, archives of them, and what `docker save` writes.
//!
//! ```text
//!  folder ──┐                ┌─ index.json ─► index ─► manifest ─┐
//!  archive ─┴─► BlobStore ───┤   (OCI)         by tag, platform   ├─► configuration, layers ─► tree
//!                            └─ manifest.json (docker save) ──────┘
//! ```

mod error;
mod saved;

use std::ops::ControlFlow;
use std::path::Path;

use banger_disk::tree::printable;

use crate::archive::{Limits, tree_from_archive};
use crate::artifact::Kind;
use crate::assembly::Files;
use crate::blobs::{Blob, BlobError, BlobStore};
use crate::choice::{Candidate, Choice, ChoiceError, choose};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::layers::merge;
use crate::manifest::{self, Descriptor, Document, DocumentError, Manifest, Platform};
use crate::unpacking::{StoredLayer, UnpackProgress, unpack_all};

pub use error::LocalImageError;

/// Deepest nesting of indexes that is followed.
const MAX_DEPTH: usize = 4;

/// An image on this machine, chosen and its configuration verified.
#[derive(Debug)]
pub struct LocalImage {
    /// Name for messages.
    called: String,
    config: ImageConfig,
    ids: ImageDigests,
    layers: Vec<StoredLayer>,
}

/// Digests of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageDigests {
    /// Of its manifest, or of its configuration where there is no manifest: equal digests, equal images.
    pub manifest: Digest,
    /// Of its configuration: its id, in the words of container engines.
    pub config: Digest,
    /// Of the index that led to the manifest, where one did; the outermost of several.
    pub index: Option<Digest>,
}

impl LocalImage {
    /// Opens the image at `path`: a folder with an OCI layout, or an archive, compressed or not (then unpacked into a
    /// file without a name in `scratch`). `name` (a tag, a full name, a digest) chooses where there are several images, and so
    /// does `platform`.
    ///
    /// # Errors
    /// There is no such image, or it is broken.
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
            BlobStore::Archive(Box::new(
                tree_from_archive(path, scratch, Limits::default(), go_on)?.tree,
            ))
        };
        let opening = Opening {
            called: path.display().to_string(),
            store,
        };
        let index = opening.optional_document("index.json")?;
        let list = opening.optional_document("manifest.json")?;
        match (index, list) {
            (Some(index), Some(list)) => {
                let first = opening.layout(&index, name, platform);
                match first {
                    // Some versions of Docker write an index that leads nowhere beside a list that is right.
                    Err(error) if error.is_of_the_index() => {
                        opening.docker_save(&list, name, platform).or(Err(error))
                    }
                    first => first,
                }
            }
            (Some(index), None) => opening.layout(&index, name, platform),
            (None, Some(list)) => opening.docker_save(&list, name, platform),
            (None, None) => Err(opening.no_image()),
        }
    }

    /// Opens the image whose manifest has `digest` in the layout at `path`, which need not have an index: a cache.
    /// `called` is its name for messages: the name that the user asked for.
    ///
    /// # Errors
    /// There is no such manifest, or it is broken.
    pub fn open_manifest(
        path: &Path,
        digest: Digest,
        called: &str,
    ) -> Result<Self, LocalImageError> {
        let opening = Opening {
            called: called.to_owned(),
            store: BlobStore::Folder(path.to_owned()),
        };
        let bytes = opening.blob(opening.store.verified(digest))?;
        match opening.parsed(manifest::parse(&bytes))? {
            Document::Manifest(manifest) => opening.image((digest, None), &manifest),
            Document::Index(_) => Err(opening.not_chosen(ChoiceError::Nothing)),
        }
    }

    /// Its configuration: command, environment, platform.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Its digests.
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

    /// Its files: all layers verified, unpacked in the folder of the future image (`scratch`), and merged.
    ///
    /// # Errors
    /// A layer does not have its digest, is broken, or holds an impossible entry.
    pub fn tree(
        &self,
        scratch: &Path,
        limits: Limits,
        progress: &mut dyn FnMut(UnpackProgress) -> ControlFlow<()>,
    ) -> Result<Files, LocalImageError> {
        let layers = unpack_all(&self.layers, scratch, limits, progress).map_err(|source| {
            LocalImageError::Unpack {
                image: self.called.clone(),
                source: Box::new(source),
            }
        })?;
        merge(&layers, limits).map_err(|source| LocalImageError::Layers {
            image: self.called.clone(),
            source,
        })
    }
}

struct Opening {
    /// Name for messages.
    called: String,
    store: BlobStore,
}

impl Opening {
    fn blob<T>(&self, result: Result<T, BlobError>) -> Result<T, LocalImageError> {
        result.map_err(|source| LocalImageError::Blob {
            image: self.called.clone(),
            source,
        })
    }

    fn parsed<T>(&self, result: Result<T, DocumentError>) -> Result<T, LocalImageError> {
        result.map_err(|source| LocalImageError::Document {
            image: self.called.clone(),
            source,
        })
    }

    fn not_chosen(&self, source: ChoiceError) -> LocalImageError {
        LocalImageError::Choice {
            image: self.called.clone(),
            source,
        }
    }

    fn no_image(&self) -> LocalImageError {
        LocalImageError::NoImage {
            image: self.called.clone(),
            is_rootfs: self.store.looks_like_a_root(),
        }
    }

    fn optional_document(&self, name: &str) -> Result<Option<Vec<u8>>, LocalImageError> {
        match self.store.file(name) {
            Err(BlobError::Missing { .. }) => Ok(None),
            found => self.blob(found.and_then(|blob| blob.document())).map(Some),
        }
    }

    fn layout(
        &self,
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
                    // A name chooses in the outermost index; below it only platforms differ.
                    wanted = None;
                    document = self.document(chosen)?;
                    digest = chosen.digest;
                    // The layout's own list names images; an index below it is a part of one.
                    if matches!(document, Document::Index(_)) {
                        way.get_or_insert(digest);
                    }
                }
            }
        }
        Err(self.not_chosen(ChoiceError::Nothing))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, LocalImageError> {
        let stored = self.store.document(descriptor.digest, descriptor.size);
        self.parsed(manifest::parse(&self.blob(stored)?))
    }

    fn choose<'d>(
        &self,
        list: &'d [Descriptor],
        name: Option<&str>,
        platform: &Platform,
    ) -> Result<&'d Descriptor, LocalImageError> {
        let mut candidates: Vec<Candidate> = list.iter().map(Candidate::from).collect();
        loop {
            match choose(&candidates, name, platform).map_err(|error| self.not_chosen(error))? {
                Choice::Found(at) => return Ok(&list[at]),
                Choice::Look(at) => {
                    // A missing or broken entry is reported only when it is chosen.
                    let looked = self.document(&list[at]).ok();
                    let kind = looked.and_then(|document| document.kind());
                    candidates[at].kind = Some(kind.unwrap_or(Kind::Image));
                }
            }
        }
    }

    fn image(
        &self,
        (digest, index): (Digest, Option<Digest>),
        manifest: &Manifest,
    ) -> Result<LocalImage, LocalImageError> {
        if let Some(kind) = manifest.artifact() {
            return Err(self.not_chosen(ChoiceError::NoImage { kind }));
        }
        let bytes = self.blob(
            self.store
                .document(manifest.config.digest, manifest.config.size),
        )?;
        let config = self.parsed(ImageConfig::parse(&bytes))?;
        let mut blobs = Vec::with_capacity(manifest.layers.len());
        for layer in &manifest.layers {
            let blob = match self.store.blob(layer.digest) {
                Err(BlobError::Missing { .. }) if !layer.urls.is_empty() => {
                    return Err(LocalImageError::Elsewhere {
                        image: self.called.clone(),
                        layer: layer.digest,
                        url: printable(layer.urls[0].as_bytes()),
                    });
                }
                found => self.blob(found)?,
            };
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
        &self,
        ids: ImageDigests,
        config: ImageConfig,
        blobs: Vec<(Blob, Option<(Digest, u64)>)>,
    ) -> Result<LocalImage, LocalImageError> {
        if blobs.len() != config.diff_ids.len() {
            return Err(LocalImageError::LayerCount {
                image: self.called.clone(),
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
            called: self.called.clone(),
            config,
            ids,
            layers,
        })
    }

    fn docker_save(
        &self,
        list: &[u8],
        name: Option<&str>,
        platform: &Platform,
    ) -> Result<LocalImage, LocalImageError> {
        let saved = self.parsed(saved::parse(list))?;
        let candidates: Vec<Candidate> = saved.iter().map(Candidate::from).collect();
        let chosen = choose(&candidates, name, platform).map_err(|error| self.not_chosen(error))?;
        // Nothing has to be looked into: all of them are images.
        let (Choice::Found(at) | Choice::Look(at)) = chosen;
        let image = &saved[at];
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
